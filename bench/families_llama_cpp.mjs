// Greedy tokens of llama.cpp, for bench/families.mjs, which copies this file beside the peer:
//
//   node families_llama_cpp.mjs TEXT COUNT MODEL.gguf…
//
// States are f32 and flash attention is off, so that only the order of sums differs from a plain
// computation in f32. Prints one JSON object a line, in the order of the models.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [text, count, files] = [process.argv[2], Number(process.argv[3]), process.argv.slice(4)];
const llama = await getLlama({gpu: false, build: "never", maxThreads: 2, logLevel: LlamaLogLevel.error});
for (const modelPath of files) {
  const model = await llama.loadModel({modelPath});
  const context = await model.createContext({
    contextSize: 512, threads: 1, flashAttention: false,
    experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
  });
  const prompt = [...model.tokenize(text)];
  if (model.tokens.shouldPrependBosToken) prompt.unshift(model.tokens.bos);
  const tokens = [], gaps = [];
  const steps = context.getSequence().evaluateWithMetadata(
      prompt, {probabilities: true}, {temperature: 0, yieldEogToken: true});
  for await (const {token, probabilities} of steps) {
    const best = [...probabilities.values()].sort((a, b) => b - a);
    tokens.push(token);
    gaps.push(Math.log(best[0] / best[1]));
    if (tokens.length === count) break;
  }
  console.log(JSON.stringify({prompt_tokens: prompt, tokens, smallest_gap: Math.min(...gaps)}));
  await model.dispose();
}
process.exit(0);
