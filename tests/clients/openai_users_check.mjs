// Users over HTTP, as OpenAI's own client for Node.js meets them: a key is a user, whose rights,
// states and quota are the user's own. Ends in "all checks passed", or fails.
import assert from 'node:assert/strict';
import { clientOf, refused } from './openai_client.mjs';

const bob = clientOf(process.env.OPENAI_KEY_bob);
const eve = clientOf(process.env.OPENAI_KEY_eve);
const joe = clientOf(process.env.OPENAI_KEY_joe);

// Each sees the models that each may use.
assert.deepEqual((await bob.models.list()).data.map((model) => model.id), ['demo']);
assert.deepEqual((await joe.models.list()).data, []);

const question = {
  model: 'demo',
  messages: [{ role: 'user', content: 'What I ask is a matter of mine alone, and of nobody else.' }],
  max_tokens: 4,
  temperature: 0,
};
const cached = async (client) =>
  (await client.chat.completions.create(question)).usage.prompt_tokens_details.cached_tokens;
assert.equal(await cached(bob), 0);
assert.ok(await cached(bob) > 10);
// The token that begins every sequence is nobody's.
assert.ok(await cached(eve) <= 1);
assert.ok(await cached(eve) > 10);

await refused(joe.chat.completions.create(question), 403, 'insufficient_permissions');
await refused(bob.chat.completions.create({ ...question, promptdb: { schema: 'demo' } }), 403,
  'insufficient_permissions');

// Eve's quota is used up, and the client does not try again by itself.
const before = Date.now();
for (let i = 0; i < 20; ++i) {
  try {
    await eve.chat.completions.create({ ...question, messages: [{ role: 'user', content: `${i}` }] });
  } catch (error) {
    assert.equal(error.status, 429);
    assert.equal(error.code, 'insufficient_quota');
    assert.match(error.message, /A new day begins at/);
    assert.equal(error.headers.get('x-should-retry'), 'false');
    console.log(`all checks passed (${Date.now() - before} ms to the quota)`);
    process.exit(0);
  }
}
assert.fail('the quota was never used up');
