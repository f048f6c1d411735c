// Every model family, token for token against llama.cpp, on tiny seeded GGUF files of random weights:
//
//   node bench/families.mjs [--families llama,mpt,…] [--seeds 1,2,3,4] [--tokens 64] [--dtype f32] [--fixture FILE]
//
// Needs a build (./setup), node and npm (which fetches the pinned peer). Weights and states are f32
// on both sides; with --dtype, weights are f16, bf16, q8_0, q4_0, q4_k or q6_k. Then llama.cpp rounds activations to 8 bits,
// and near ties may fall the other way: what counts is how far apart the two logits were. --fixture writes llama.cpp's tokens to FILE; tests/data/families.json was made so,
// and tests/families_test.cc holds PromptDB to it where there is no npm.
import {execFileSync} from "node:child_process";
import {copyFileSync, existsSync, mkdirSync, writeFileSync} from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {PEER, installPeer} from "./peer.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const build = path.join(here, "..", "build");
const {values: options} = parseArgs({options: {
  families: {type: "string",
             default: "llama,llama3,codellama,mistral,smollm,qwen2,qwen3,falcon,falcon40b,mpt,gpt2"},
  seeds: {type: "string", default: "1,2,3,4"},
  tokens: {type: "string", default: "64"},
  dtype: {type: "string", default: "f32"},
  fixture: {type: "string"},
}});
const TEXT = "Once upon a time there was a little house near the river, and in 1984 it wasn't old.";

const greedy = path.join(build, "bench", "greedy");
const maker = path.join(build, "tests", "make_tiny_model");
for (const program of [greedy, maker]) {
  if (!existsSync(program)) {
    console.error(`families: ${program} is missing; run ./setup first`);
    process.exit(1);
  }
}
const work = path.join(build, "bench", "compare");
mkdirSync(work, {recursive: true});
installPeer(work);
copyFileSync(path.join(here, "families_llama_cpp.mjs"), path.join(work, "families_llama_cpp.mjs"));
const run = (command, args) =>
  execFileSync(command, args, {cwd: work, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"]});
const equal = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

const fixture = [];
let failures = 0;
console.log(`${new Date().toISOString().slice(0, 10)}, llama.cpp of ${PEER}, ${options.dtype} weights and f32 states, greedy\n`);
console.log("| family | seed | tokens equal | different tokens | first difference | smallest gap of logits |");
console.log("| --- | --- | --- | --- | --- | --- |");
const runs = options.families.split(",").flatMap((family) => options.seeds.split(",").map(
    (seed) => ({family, seed, file: path.join(work, `tiny-${family}-${seed}-${options.dtype}.gguf`)})));
for (const {family, seed, file} of runs) {
  // Rows of whole blocks.
  const widths = options.dtype.endsWith("_k") ? ["--dim", "256", "--hidden", "512", "--head-dim", "64"] : [];
  run(maker, [file, "--arch", family, "--seed", seed, "--dtype", options.dtype, ...widths]);
}
const files = runs.map(({file}) => file);
const peers = run("node", ["families_llama_cpp.mjs", TEXT, options.tokens, ...files]).trim().split("\n").map(JSON.parse);
for (const [i, {family, seed, file}] of runs.entries()) {
  const peer = peers[i];
  const own = JSON.parse(run(greedy, [file, TEXT, ...peer.tokens.map(String)]));
  const same = own.first_difference ?? peer.tokens.length;
  const tokenized = equal(own.prompt_tokens, peer.prompt_tokens);
  if (!tokenized || same < peer.tokens.length) ++failures;
  let difference = "none";
  if (own.first_difference !== null) difference = `token ${same}, ${own.gap.toExponential(1)} apart`;
  if (!tokenized) difference = "the prompt's tokens";
  console.log(`| ${family} | ${seed} | ${same} of ${peer.tokens.length} | ${new Set(peer.tokens).size} | ` +
              `${difference} | ${peer.smallest_gap.toExponential(1)} |`);
  fixture.push({family, seed: Number(seed), ...peer});
}
if (options.fixture) {
  const lines = fixture.map((entry) => JSON.stringify(entry));
  writeFileSync(options.fixture, `{"made_by": "node bench/families.mjs --fixture, llama.cpp of ${PEER}",\n` +
                `"text": ${JSON.stringify(TEXT)},\n"runs": [\n${lines.join(",\n")}\n]}\n`);
}
process.exit(failures === 0 ? 0 : 1);
