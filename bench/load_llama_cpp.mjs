// llama.cpp under the load of bench/load.mjs, which copies this file beside the peer and talks to it by
// messages:
//
//   fork("load_llama_cpp.mjs", [LOAD.json, SEQUENCES, FLASH])
//
// sends {ready} when the documents are computed, then for each {run: true} one {seconds, ttft, tokens}.
//
// The peer's prefix cache is used as well as it can be: a sequence keeps its document, so that a request
// computes its own new tokens only; each document has as many sequences as fit, into which its states
// are loaded from a file, computed once. A request waits for a free sequence of its document. All
// sequences are steps of one batch (node-llama-cpp's "maximumParallelism").
import {rmSync, readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const load = JSON.parse(readFileSync(process.argv[2], "utf8"));
const sequences = Number(process.argv[3]), flashAttention = process.argv[4] === "1";
const llama = await getLlama({gpu: false, build: "never", maxThreads: load.threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: load.model});
const tokenized = (text) => [...model.tokenize(text)];
const documents = load.documents.map(tokenized);
const longest = Math.max(...documents.map((tokens) => tokens.length));
const context = await model.createContext({
  sequences, contextSize: longest + 2 * load.newTokens + load.decode, batchSize: 512, threads: load.threads, flashAttention,
  batching: {itemPrioritizationStrategy: "maximumParallelism"},
});

// Free sequences of each document, and who waits for one.
const pools = documents.map(() => ({free: [], waiting: []}));
const most = Math.ceil(sequences / documents.length);
for (const [i, tokens] of documents.entries()) {
  const file = `./load_state_${process.pid}_${i}.bin`;
  for (let n = 0; n < most; ++n) {
    const sequence = context.getSequence();
    if (n === 0) {
      await sequence.evaluateWithoutGeneratingNewTokens(tokens);
      await sequence.saveStateToFile(file);
    } else {
      await sequence.loadStateFromFile(file, {acceptRisk: true});
    }
    pools[i].free.push(sequence);
  }
  rmSync(file);
}

async function answer(document, question) {
  const begin = performance.now();
  const pool = pools[document];
  const sequence = pool.free.pop() ?? await new Promise((resolve) => { pool.waiting.push(resolve); });
  const kept = documents[document].length;
  if (sequence.nextTokenIndex > kept) {
    await sequence.eraseContextTokenRanges([{start: kept, end: sequence.nextTokenIndex}]);
  }
  let first, tokens = 0;
  for await (const _ of sequence.evaluate(tokenized(question), {temperature: 0, yieldEogToken: true})) {
    first ??= performance.now();
    if (++tokens === load.decode) break;
  }
  const next = pool.waiting.shift();
  if (next) next(sequence);
  else pool.free.push(sequence);
  return {ttft: (first - begin) / 1e3, tokens};
}

process.on("message", async () => {
  const answers = [];
  const begin = performance.now();
  await Promise.all(load.questions.map(async (questions, i) => {
    for (const question of questions) answers.push(await answer(i % documents.length, question));
  }));
  process.send({seconds: (performance.now() - begin) / 1e3, ttft: answers.map(({ttft}) => ttft),
                tokens: answers.reduce((sum, {tokens}) => sum + tokens, 0)});
});
process.on("disconnect", () => process.exit(0));
process.send({ready: true});
