// What OpenAI's own client for Node.js does with a server of PromptDB. Ends in "all checks passed", or fails.
import assert from 'node:assert/strict';
import { base, clientOf, refused } from './openai_client.mjs';

const key = process.env.OPENAI_KEY_ada;
const client = clientOf(key, { maxRetries: 0 });

const models = await client.models.list();
assert.deepEqual(models.data.map((model) => model.id), ['demo']);

// A question over a module of a schema.
const question = {
  model: 'demo',
  messages: [{ role: 'user', content: 'Who is the mayor of Shistel?' }],
  max_tokens: 8,
  temperature: 0,
  promptdb: { schema: 'demo', use: ['shistel'] },
};
const first = await client.chat.completions.create(question);
assert.equal(first.choices[0].message.content, ' Tebri Jozund');
assert.equal(first.choices[0].finish_reason, 'stop');
assert.equal(first.object, 'chat.completion');
const again = await client.chat.completions.create(question);
assert.equal(again.choices[0].message.content, ' Tebri Jozund');
assert.ok(again.usage.prompt_tokens_details.cached_tokens > 100, JSON.stringify(again.usage));
assert.equal(again.usage.total_tokens, again.usage.prompt_tokens + again.usage.completion_tokens);

// Urgent, and of use for an hour only.
const urgent = { schema: 'demo', use: ['shistel'], priority: 'high', deadline: '1h' };
const soon = await client.chat.completions.create({ ...question, promptdb: urgent });
assert.equal(soon.choices[0].message.content, ' Tebri Jozund');

// The same as a stream.
const stream = await client.chat.completions.create(
  { ...question, stream: true, stream_options: { include_usage: true } });
let text = '';
let reason = null;
let usage = null;
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? '';
  reason = chunk.choices[0]?.finish_reason ?? reason;
  usage = chunk.usage ?? usage;
}
assert.equal(text, ' Tebri Jozund');
assert.equal(reason, 'stop');
assert.deepEqual([usage.prompt_tokens, usage.completion_tokens],
  [again.usage.prompt_tokens, again.usage.completion_tokens]);

// A plain chat: its second turn finds the first one's tokens by itself.
const chat = [
  { role: 'system', content: 'You are a guide who knows every town by its river and its baths.' },
  { role: 'user', content: 'Hello. Which towns are there, and which of them has a bath?' },
];
const options = { model: 'demo', max_tokens: 12, temperature: 0.7, seed: 5 };
const turn = await client.chat.completions.create({ ...options, messages: chat });
const same = await client.chat.completions.create({ ...options, messages: chat });
assert.equal(same.choices[0].message.content, turn.choices[0].message.content);
assert.equal(same.usage.prompt_tokens_details.cached_tokens, same.usage.prompt_tokens);
const next = await client.chat.completions.create({
  ...options,
  messages: [...chat, { role: 'assistant', content: turn.choices[0].message.content },
    { role: 'user', content: [{ type: 'text', text: 'And the river?' }] }],
});
assert.ok(next.usage.prompt_tokens_details.cached_tokens > 20, JSON.stringify(next.usage));

// Completions, stop and length.
const completion = await client.completions.create(
  { model: 'demo', prompt: 'The mayor of', max_tokens: 4, temperature: 0 });
assert.equal(completion.choices[0].finish_reason, 'length');
assert.equal(completion.usage.completion_tokens, 4);
const whole = completion.choices[0].text;
const stopped = await client.completions.create(
  { model: 'demo', prompt: 'The mayor of', max_tokens: 4, temperature: 0, stop: [whole.slice(-1)] });
assert.ok(whole.startsWith(stopped.choices[0].text) && stopped.choices[0].text.length < whole.length);
assert.equal(stopped.choices[0].finish_reason, 'stop');

// Probabilities: of chats, of completions, and in a stream at its end.
const logprobs = { logprobs: true, top_logprobs: 3 };
const told = (await client.chat.completions.create({ ...question, ...logprobs })).choices[0];
const parts = told.logprobs.content;
assert.equal(parts.map((part) => part.token).join(''), ' Tebri Jozund');
assert.equal(Buffer.from(parts.flatMap((part) => part.bytes)).toString(), ' Tebri Jozund');
for (const part of parts) {
  assert.equal(part.top_logprobs.length, 3);
  // A greedy answer has the likeliest token everywhere, and nothing is likelier than certain.
  assert.equal(part.top_logprobs[0].token, part.token);
  assert.equal(part.top_logprobs[0].logprob, part.logprob);
  assert.ok(part.logprob <= 0 && part.top_logprobs[1].logprob <= part.logprob);
}
const silent = (await client.chat.completions.create({ ...question, logprobs: true })).choices[0];
assert.deepEqual(silent.logprobs.content.map((part) => part.logprob),
  parts.map((part) => part.logprob));
assert.deepEqual(silent.logprobs.content[0].top_logprobs, []);
const streamed = [];
for await (const chunk of await client.chat.completions.create(
  { ...question, ...logprobs, stream: true })) {
  streamed.push(...(chunk.choices[0].logprobs?.content ?? []));
}
assert.deepEqual(streamed, parts);
const likely = (await client.completions.create(
  { model: 'demo', prompt: 'The mayor of', max_tokens: 4, temperature: 0, logprobs: 2 })).choices[0];
assert.equal(likely.logprobs.tokens.join(''), likely.text);
assert.deepEqual(likely.logprobs.text_offset,
  likely.logprobs.tokens.map((_, i) => likely.logprobs.tokens.slice(0, i).join('').length));
assert.deepEqual(likely.logprobs.top_logprobs.map((top, i) => top[likely.logprobs.tokens[i]]),
  likely.logprobs.token_logprobs);

// Several answers to a question, and to several prompts; each with the next seed.
const several = { ...question, max_tokens: 4, temperature: 1, seed: 7 };
const one = async (seed) =>
  (await client.chat.completions.create({ ...several, seed })).choices[0].message.content;
const three = await client.chat.completions.create({ ...several, n: 3 });
assert.deepEqual(three.choices.map((choice) => [choice.index, choice.message.content]),
  [[0, await one(7)], [1, await one(8)], [2, await one(9)]]);
assert.equal(three.usage.prompt_tokens, again.usage.prompt_tokens);
const pieces = ['', '', ''];
const ends = [];
for await (const chunk of await client.chat.completions.create({ ...several, n: 3, stream: true })) {
  pieces[chunk.choices[0].index] += chunk.choices[0].delta.content ?? '';
  if (chunk.choices[0].finish_reason) ends.push(chunk.choices[0].index);
}
assert.deepEqual(pieces, three.choices.map((choice) => choice.message.content));
assert.equal(ends[0], 0);
assert.deepEqual(ends.sort(), [0, 1, 2]);
const both = await client.completions.create(
  { model: 'demo', prompt: ['The mayor of', 'The river'], max_tokens: 4, temperature: 0, n: 2 });
assert.deepEqual(both.choices.map((choice) => choice.index), [0, 1, 2, 3]);
assert.deepEqual([both.choices[0].text, both.choices[1].text], [whole, whole]);
assert.notEqual(both.choices[2].text, whole);
assert.equal(both.usage.completion_tokens, 16);

// More than are computed at a time; all in their places. The model is sure of these answers: where two tokens
// are about as likely, which one it takes depends on what else is in the pass.
const facts = [['Who is the mayor of Shistel?', ' Tebri Jozund'], ['Which river runs through Shistel?', ' Stetean'],
  ['What is Shistel known for?', ' stone']];
const prompts = Array.from({ length: 40 }, (_, i) => facts[i % 3][0]);
const answers = prompts.map((_, i) => facts[i % 3][1]);
const greedy = { model: 'demo', max_tokens: 8, temperature: 0, promptdb: { schema: 'demo', use: ['shistel'] } };
const batch = await client.completions.create({ ...greedy, prompt: prompts });
assert.deepEqual(batch.choices.map((choice) => [choice.index, choice.text]),
  answers.map((text, i) => [i, text]));
const streamed_batch = prompts.map(() => '');
for await (const chunk of await client.completions.create({ ...greedy, prompt: prompts, stream: true })) {
  streamed_batch[chunk.choices[0].index] += chunk.choices[0].text;
}
assert.deepEqual(streamed_batch, answers);
// One that can't be answered ends them all.
await refused(client.completions.create({ ...greedy, prompt: [...prompts.slice(20), 'x '.repeat(3000)] }), 400,
  'context_length_exceeded');

// What the answer holds already is less likely.
const loop = { model: 'demo', prompt: 'The mayor of', max_tokens: 60, temperature: 0 };
const tokens_of = async (more) => {
  const answer = await client.completions.create({ ...loop, logprobs: 0, ...more });
  return answer.choices[0].logprobs.tokens;
};
const repeated = (tokens) => tokens.length - new Set(tokens).size;
assert.ok(repeated(await tokens_of({ frequency_penalty: 2 })) < repeated(await tokens_of({})) / 2);

// Modules among the parts of a message, in the place where they stand: the same prompt as with
// "use", and another one behind a text.
const marked = (content, more) => client.chat.completions.create({
  ...question,
  messages: [{ role: 'user', content }],
  promptdb: { schema: 'demo' },
  ...more,
});
const part = { type: 'promptdb_module', module: 'shistel' };
const words = { type: 'text', text: 'Who is the mayor of Shistel?' };
const in_message = await marked([part, words]);
assert.equal(in_message.choices[0].message.content, ' Tebri Jozund');
assert.deepEqual(in_message.usage, again.usage);
const behind = await marked([{ type: 'text', text: 'Read this.' }, part, words]);
assert.ok(behind.usage.prompt_tokens > again.usage.prompt_tokens);
// Text that looks like a marker is text.
const literal = await marked([{ type: 'text', text: JSON.stringify(part) }, words]);
assert.ok(literal.usage.prompt_tokens_details.cached_tokens < 100, JSON.stringify(literal.usage));

// An answer of a given shape.
const shaped = await client.chat.completions.create({
  ...question,
  max_tokens: 64,
  response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'boolean' } } },
});
assert.equal(typeof JSON.parse(shaped.choices[0].message.content), 'boolean');
const object = await client.chat.completions.create(
  { ...question, max_tokens: 500, temperature: 1, seed: 1, response_format: { type: 'json_object' } });
if (object.choices[0].finish_reason === 'stop') JSON.parse(object.choices[0].message.content);
assert.ok(object.choices[0].message.content.trimStart().startsWith('{'), object.choices[0].message.content);

const embeddings = await client.embeddings.create(
  { model: 'demo', input: ['a town', 'a river'], encoding_format: 'float' });
assert.equal(embeddings.data.length, 2);
// The client asks for base64 by itself, and makes numbers of it.
const packed = await client.embeddings.create({ model: 'demo', input: ['a town', 'a river'] });
packed.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - embeddings.data[1].embedding[i]) < 1e-6));
assert.equal(packed.data[1].embedding.length, embeddings.data[1].embedding.length);
const length = embeddings.data[1].embedding.reduce((sum, x) => sum + x * x, 0);
assert.ok(Math.abs(length - 1) < 1e-4, length);

// Errors are OpenAI's.
const ask = (more) => client.chat.completions.create({ ...question, ...more });
await refused(ask({ model: 'gpt-4', promptdb: undefined }), 404, 'not_found');
await refused(ask({ promptdb: { schema: 'demo', use: ['shistl'] } }), 404, 'not_found');
await refused(ask({ promptdb: { schema: 'demo', uses: [] } }), 400, 'unknown_parameter');
await refused(ask({ logprobs: 3 }), 400, 'invalid_type', 'logprobs');
await refused(ask({ logprobs: true, top_logprobs: 21 }), 400, 'invalid_value', 'top_logprobs');
await refused(ask({ top_logprobs: 2 }), 400, 'invalid_value', 'top_logprobs');
await refused(marked([{ type: 'promptdb_module', module: 'shistl' }, words]), 404, 'not_found');
await refused(marked([part, words], { promptdb: undefined }), 400, 'invalid_value');
await refused(marked([{ type: 'promptdb_module' }]), 400, 'missing_required_parameter');
await refused(marked([{ type: 'image_url', image_url: { url: 'x' } }]), 400, 'unsupported_value');
await refused(ask({ promptdb: { ...urgent, priority: 'now' } }), 400, 'invalid_value');
await refused(ask({ promptdb: { ...urgent, deadline: '1ms' }, max_tokens: 1000 }), 504, 'timeout');
await refused(ask({ n: 129 }), 400, 'invalid_value', 'n');
await refused(ask({ tools: [{ type: 'function', function: { name: 'f' } }] }), 400, 'unsupported_parameter', 'tools');
await refused(ask({ temperature: 9 }), 400, 'invalid_value', 'temperature');
await refused(ask({ messages: [] }), 400, 'invalid_value', 'messages');
await refused(ask({ messages: [{ role: 'tool', content: 'x', tool_call_id: 'y' }] }), 400,
  'unsupported_value');
await refused(ask({ max_tokens: 5000, messages: [{ role: 'user', content: 'x '.repeat(3000) }] }), 400,
  'context_length_exceeded');
await refused(clientOf('wrong', { maxRetries: 0 }).models.list(), 401, 'invalid_api_key');

// Whoever leaves in the middle takes the work along.
const metric = async (name) => {
  const reply = await fetch(`${base}/metrics`, { headers: { authorization: `Bearer ${key}` } });
  return Number((await reply.text()).match(new RegExp(`^promptdb_${name} (\\d+)`, 'm'))[1]);
};
const canceled = await metric('statements_canceled_total');
const controller = new AbortController();
const long = await client.completions.create(
  { model: 'demo', prompt: 'Go on.', max_tokens: 1900, temperature: 1.5, seed: 1, stream: true },
  { signal: controller.signal });
for await (const chunk of long) {
  assert.ok(chunk.id);
  controller.abort();
  break;
}
for (let i = 0; i < 3000 && (await metric('statements_running')) > 0; ++i) {
  await new Promise((resolve) => { setTimeout(resolve, 10); });
}
assert.equal(await metric('statements_running'), 0);
assert.equal(await metric('statements_canceled_total'), canceled + 1);

// Not only clients of OpenAI.
assert.equal(await (await fetch(`${base}/healthz`)).text(), 'ok\n');
const post = (headers, body) => fetch(`${base}/v1/completions`, { method: 'POST', headers, body });
const authorized = { authorization: `Bearer ${key}` };
assert.equal((await post({ ...authorized, 'content-type': 'text/plain' }, '{}')).status, 415);
assert.equal((await post({ ...authorized, 'content-type': 'application/json' }, '{"model"')).status, 400);
assert.equal((await fetch(`${base}/v1/completions`, { headers: authorized })).status, 405);
assert.equal((await fetch(`${base}/etc/passwd`, { headers: authorized })).status, 404);

console.log('all checks passed');
