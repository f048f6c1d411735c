// Time to first token of PromptDB beside llama.cpp's, on one random-weight model, in one run:
//
//   node bench/compare.mjs [--layers 30 --dim 576 --hidden 1536 --heads 9 --kv-heads 3 --vocab 32000]
//                          [--cached 4096] [--new 32] [--decode 32] [--runs 5] [--json FILE]
//
// Needs a build (./setup), node, npm (which fetches the pinned peer), python3-numpy, and the folder
// with make_gguf.py and llama_cpp_ttft.mjs: $PROMPTDB_PEER, or ../shared/peer beside this checkout.
// Everything made stays in build/bench. Times depend on the machine and on what else it does: quote
// the ratios.
import {execFileSync} from "node:child_process";
import {copyFileSync, existsSync, mkdirSync, writeFileSync} from "node:fs";
import {cpus} from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {installPeer} from "./peer.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const text = (fallback) => ({type: "string", default: fallback});
const {values: options} = parseArgs({options: {
  layers: text("30"), dim: text("576"), hidden: text("1536"), heads: text("9"), "kv-heads": text("3"),
  vocab: text("32000"), cached: text("4096"), new: text("32"), decode: text("32"), runs: text("5"),
  json: {type: "string"},
}});

function fail(message) {
  console.error(`compare: ${message}`);
  process.exit(1);
}

const peerScripts = process.env.PROMPTDB_PEER ?? path.join(root, "..", "shared", "peer");
const program = path.join(root, "build", "bench", "ttft");
if (!existsSync(program)) fail("build/bench/ttft is missing; run ./setup first");
if (!existsSync(path.join(peerScripts, "llama_cpp_ttft.mjs"))) {
  fail(`no llama_cpp_ttft.mjs in ${peerScripts}; set PROMPTDB_PEER to the folder that has it`);
}

const work = path.join(root, "build", "bench", "compare");
mkdirSync(work, {recursive: true});
const run = (command, args, extra = {}) =>
  execFileSync(command, args, {cwd: work, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"],
                               maxBuffer: 1 << 26, ...extra});

installPeer(work);
copyFileSync(path.join(peerScripts, "llama_cpp_ttft.mjs"), path.join(work, "llama_cpp_ttft.mjs"));

const shape = [options.layers, options.dim, options.hidden, options.heads, options["kv-heads"], options.vocab];
const context = String(Math.max(8192, 2 * (Number(options.cached) + Number(options.new))));
const model = path.join(work, `llama-${shape.join("-")}-bf16-${context}.gguf`);
if (!existsSync(model)) {
  console.error("writing the model …");
  run("/usr/bin/python3", [path.join(peerScripts, "make_gguf.py"), model, ...shape, "bf16", context]);
}

const peer = (flashAttention) => {
  console.error(`llama.cpp, flash attention ${flashAttention === "1" ? "on" : "off"} …`);
  const out = run("node", ["llama_cpp_ttft.mjs", model, options.cached, options.new, options.decode],
                  {env: {...process.env, FA: flashAttention}});
  return JSON.parse(out.trim().split("\n").at(-1));
};
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const withFlash = peer("1");
console.error("PromptDB …");
const own = JSON.parse(run(program, [model, options.cached, options.new, options.decode, options.runs]));
const withoutFlash = peer("0");

const best = {
  cold: Math.min(withFlash.full_ttft_s, withoutFlash.full_ttft_s),
  hit: Math.min(median(withFlash.hit_ttft_s), median(withoutFlash.hit_ttft_s)),
  decode: Math.max(withFlash.decode_tps, withoutFlash.decode_tps),
};
const seconds = {
  cold: own.median.cold_ttft_ms / 1e3,
  memory: own.median.memory_ttft_ms / 1e3,
  disk: own.median.disk_ttft_ms / 1e3,
};
const rows = [
  ["TTFT, nothing cached", seconds.cold, withFlash.full_ttft_s, withoutFlash.full_ttft_s, best.cold / seconds.cold, "s"],
  ["TTFT, states in memory", seconds.memory, median(withFlash.hit_ttft_s), median(withoutFlash.hit_ttft_s), best.hit / seconds.memory, "s"],
  ["TTFT, states on disk", seconds.disk, median(withFlash.hit_ttft_s), median(withoutFlash.hit_ttft_s), best.hit / seconds.disk, "s"],
  ["own speed-up, nothing cached / memory", seconds.cold / seconds.memory, withFlash.speedup, withoutFlash.speedup, NaN, "x"],
  ["decode", own.decode_tokens_per_s, withFlash.decode_tps, withoutFlash.decode_tps, own.decode_tokens_per_s / best.decode, "tok/s"],
];
const format = (value) => value.toPrecision(3);
console.log(`${new Date().toISOString().slice(0, 10)}, ${cpus()[0].model}, ${cpus().length} cores; ${path.basename(model)}; ` +
            `${own.cached_tokens} cached + ${own.prompt_tokens - own.cached_tokens} new tokens (llama.cpp: ${options.cached} + ${options.new})`);
console.log("| what | PromptDB | llama.cpp, FA on | llama.cpp, FA off | PromptDB against its better one |");
console.log("| --- | --- | --- | --- | --- |");
for (const [what, ours, on, off, ratio, unit] of rows) {
  console.log(`| ${what} | ${format(ours)} ${unit} | ${format(on)} ${unit} | ${format(off)} ${unit} | ` +
              `${Number.isNaN(ratio) ? "" : `${format(ratio)}x`} |`);
}
if (options.json) writeFileSync(options.json, JSON.stringify({own, withFlash, withoutFlash}, null, 2));
