// What pg, the PostgreSQL client of Node.js, does with a server of PromptDB. Ends in "all checks
// passed", or fails.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// From the working folder, where the test has it.
const require = createRequire(process.cwd() + '/');
const { Client, Pool } = require('pg');

const client = new Client();
await client.connect();

const models = await client.query('SHOW MODELS');
assert.equal(models.rows[0].name, 'demo');
assert.deepEqual(models.fields.slice(0, 2).map((field) => field.name), ['name', 'architecture']);

// Parameters: the extended protocol, with values as text and types left open.
const question = 'SELECT GENERATE (max_tokens => $2) FROM demo USE shistel PROMPT $1';
const answer = await client.query(question, ['Who is the mayor of Shistel?', 8]);
assert.equal(answer.rows[0].text, ' Tebri Jozund');
assert.equal(typeof answer.rows[0].ttft_ms, 'number');

// A named prepared statement, twice.
for (const prompt of ['Who is the mayor of Shistel?', "It's 'quoted'"]) {
  const prepared = await client.query({ name: 'ask', text: question, values: [prompt, 4] });
  assert.equal(prepared.rowCount, 1);
}

const filtered = await client.query(
  'SELECT module FROM pc_modules WHERE schema = $1 AND tokens > $2 ORDER BY module', ['demo', 5]);
assert.ok(filtered.rows.some((row) => row.module === 'shistel'));

await assert.rejects(client.query("SELECT GENERATE FROM dmo PROMPT 'x'"), (error) => {
  assert.equal(error.code, '42704');
  assert.equal(error.position, '22');
  assert.match(error.hint, /demo/);
  return true;
});
await assert.rejects(client.query(question, [null, 8]), { code: '22023' });

await client.query('BEGIN');
await client.query('SHOW SCHEMAS');
await client.query('COMMIT');

// Notices come as events.
let notices = 0;
client.on('notice', () => { notices += 1; });
await client.query('COMMIT');
assert.equal(notices, 1);
await client.end();

// Several at a time.
const pool = new Pool({ max: 4 });
const answers = await Promise.all(Array.from({ length: 8 }, () =>
  pool.query(question, ['Who is the mayor of Shistel?', 8])));
for (const { rows } of answers) assert.equal(rows[0].text, ' Tebri Jozund');
await pool.end();
console.log('all checks passed');
