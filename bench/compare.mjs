// PromptDB beside llama.cpp and beside what this machine can do, on random-weight models, in one run:
//
//   node bench/compare.mjs [--runs 5] [--only S,own,Q8_0,Q4_0,Q4_K,Q6_K,L] [--quick] [--json FILE] [--svg FILE]
//   node bench/compare.mjs --device cuda [--runs 5] [--quick] [--json FILE]     (see bench/compare_device.py)
//
// Needs a build (./setup), node, npm (which fetches the pinned peer), python3-numpy, and the folder
// with make_gguf.py and llama_cpp_ttft.mjs: $PROMPTDB_PEER, or ../shared/peer beside this checkout;
// for --svg gnuplot. Everything made stays in build/bench. --quick takes a tiny model, to see that all of
// it works. Times depend on the machine and on what else it does: quote the ratios.
import {execFileSync, spawnSync} from "node:child_process";
import {copyFileSync, existsSync, mkdirSync, writeFileSync} from "node:fs";
import {cpus} from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {modelSize, limits} from "./limits.mjs";
import {installPeer} from "./peer.mjs";
import {peerScripts as scriptsOf, randomModel, S, TINY} from "./random_gguf.mjs";
import {median} from "./statistics.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const {values: options} = parseArgs({options: {
  runs: {type: "string", default: "5"}, only: {type: "string"}, quick: {type: "boolean", default: false},
  json: {type: "string"}, svg: {type: "string"}, device: {type: "string"},
}});
// On a GPU it is PyTorch that PromptDB is compared with, by a program of PyTorch's language.
if (options.device !== undefined) {
  const device = options.device === "cuda" ? "cuda:0" : options.device;
  const args = [path.join(root, "bench", "compare_device.py"), "--device", device, "--runs", options.runs,
                ...(options.quick ? ["--quick"] : []), ...(options.json ? ["--json", options.json] : [])];
  process.exit(spawnSync("python3", args, {stdio: "inherit"}).status ?? 1);
}

function fail(message) {
  console.error(`compare: ${message}`);
  process.exit(1);
}

// As S: TinyLlama-1.1B's.
const L = [22, 2048, 5632, 32, 4, 32000];
// Blocks of the K formats are 256 weights, so that S's widths won't do: 211 million weights.
const M = [16, 1024, 2816, 16, 4, 32000], TINY_K = [2, 256, 512, 4, 2, 32000];

// `targets`: how many times faster than llama.cpp's better setting.
const plan = {
  S: {shape: S, dtype: "bf16", cached: 4096, fresh: 32, decode: 32, prompts: 16, peer: true,
      targets: {cold: 3, memory: 4, disk: 3.5, decode: 2, prompts: 5}},
  own: {shape: S, dtype: "bf16", cached: 8192, fresh: 16, decode: 16, prompts: 0, peer: false, targets: {own: 60}},
  Q8_0: {shape: S, dtype: "q8_0", cached: 4096, fresh: 32, decode: 32, prompts: 0, peer: true,
         targets: {cold: 1.5, decode: 1.5}},
  Q4_0: {shape: S, dtype: "q4_0", cached: 4096, fresh: 32, decode: 32, prompts: 0, peer: true,
         targets: {cold: 1.5, decode: 1.5}},
  Q4_K: {shape: M, dtype: "q4_k", cached: 2048, fresh: 32, decode: 32, prompts: 0, peer: true,
         targets: {cold: 1.5, decode: 1.5}},
  Q6_K: {shape: M, dtype: "q6_k", cached: 2048, fresh: 32, decode: 32, prompts: 0, peer: true,
         targets: {cold: 1.5, decode: 1.5}},
  L: {shape: L, dtype: "bf16", cached: 2048, fresh: 32, decode: 16, prompts: 0, peer: true,
      targets: {cold: 2.3, memory: 3.5}},
};
if (options.quick) {
  for (const run of Object.values(plan)) {
    Object.assign(run, {shape: run.shape === M ? TINY_K : TINY, cached: 256, fresh: 16, decode: 4});
  }
}
const chosen = (options.only ?? Object.keys(plan).join(",")).split(",");
for (const name of chosen) if (!(name in plan)) fail(`--only knows ${Object.keys(plan).join(", ")}, not ${name}`);

const peerScripts = scriptsOf(root);
const program = (name) => path.join(root, "build", "bench", name);
if (!existsSync(program("ttft"))) fail("build/bench/ttft is missing; run ./setup first");
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

function measurePeer(model, {cached, fresh, decode}, flashAttention) {
  console.error(`  llama.cpp, flash attention ${flashAttention === "1" ? "on" : "off"} …`);
  const out = run("node", ["llama_cpp_ttft.mjs", model, String(cached), String(fresh), String(decode)],
                  {env: {...process.env, FA: flashAttention}});
  return JSON.parse(out.trim().split("\n").at(-1));
}

function measureOwn(model, {cached, fresh, decode, prompts}) {
  console.error("  PromptDB …");
  return JSON.parse(run(program("ttft"), [model, cached, fresh, decode, options.runs, prompts].map(String)));
}

const machine = JSON.parse(run(program("machine_limits"), []));
const rows = [];
const raw = {date: new Date().toISOString().slice(0, 10), processor: cpus()[0].model, machine, runs: {}};

for (const name of chosen) {
  const setting = plan[name];
  const model = randomModel(root, work, setting.shape, setting.dtype, Math.max(8192, 2 * (setting.cached + setting.fresh)));
  console.error(`${name}: ${path.basename(model)}`);
  // Interleaved, so that a machine that changes its pace changes it for both.
  const withFlash = setting.peer ? measurePeer(model, setting, "1") : undefined;
  const own = measureOwn(model, setting);
  const withoutFlash = setting.peer ? measurePeer(model, setting, "0") : undefined;
  raw.runs[name] = {own, withFlash, withoutFlash};

  const best = setting.peer && {
    cold: Math.min(withFlash.full_ttft_s, withoutFlash.full_ttft_s),
    hit: Math.min(median(withFlash.hit_ttft_s), median(withoutFlash.hit_ttft_s)),
    decode: Math.max(withFlash.decode_tps, withoutFlash.decode_tps),
    state: Math.min(withFlash.state_mb, withoutFlash.state_mb) * 1e6,
  };
  const size = modelSize(setting.shape, setting.dtype);
  const limit = limits(size, setting, machine);
  const where = `${name === "own" ? "S" : name}, ${setting.cached}`;
  const seconds = (what, ours, theirs, least, target) =>
    rows.push({what, ours, theirs, ratio: theirs / ours, target, limit: ours / least, unit: "s"});
  const cold = own.median.cold_ttft_ms / 1e3, memory = own.median.memory_ttft_ms / 1e3;
  const {targets} = setting;
  seconds(`TTFT, nothing cached (${where} + ${setting.fresh})`, cold, best?.cold, limit.cold, targets.cold);
  seconds(`TTFT, states in memory (${where} + ${setting.fresh})`, memory, best?.hit, limit.hit, targets.memory);
  seconds(`TTFT, states on disk (${where} + ${setting.fresh})`, own.median.disk_ttft_ms / 1e3, best?.hit, limit.hit, targets.disk);
  rows.push({what: `own speed-up, nothing cached / in memory (${where} + ${setting.fresh})`, ours: cold / memory,
             theirs: best && Math.max(withFlash.speedup, withoutFlash.speedup), target: targets.own, unit: "x"});
  rows.push({what: `decode (${where})`, ours: own.decode_tokens_per_s, theirs: best?.decode,
             ratio: own.decode_tokens_per_s / best?.decode, target: targets.decode,
             limit: 1 / own.decode_tokens_per_s / limit.step, unit: "tok/s"});
  if (setting.prompts > 0) {
    // llama.cpp takes one prompt at a time, and restores the document's states for each.
    const theirs = best && setting.prompts * (best.hit + (setting.decode - 1) / best.decode);
    seconds(`${setting.prompts} prompts of ${setting.decode} tokens over one document (${where})`, own.prompts_s, theirs, limit.prompts, targets.prompts);
    rows.push({what: `  their states, MB (${where})`, theirs: best && (best.state * setting.prompts) / 1e6, unit: "MB",
               ours: (size.kvBytesPerToken * (setting.cached + setting.prompts * (setting.fresh + setting.decode))) / 1e6});
  }
  if (name === chosen[0]) {
    rows.push({what: "planning a query over 50 modules", ours: own.planning_ms, target: "under 1 ms", unit: "ms"});
  }
  rows.push({what: `peak resident memory over weights + states (${where})`, unit: "x", target: "at most 1.15",
             ours: own.peak_bytes / (size.weightBytes + size.kvBytesPerToken * (setting.cached + setting.fresh))});
}

const rounded = (value) => value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
const format = (value, unit) => Number.isFinite(value) ? `${rounded(value)} ${unit}` : "";
const times = (value) => Number.isFinite(value) ? `${rounded(value)}x` : "";
console.log(`${raw.date}, ${raw.processor}, ${machine.threads} threads: ${(machine.read_bytes_per_s / 1e9).toFixed(1)} GB/s, ` +
            `${(machine.flops_per_s / 1e9).toFixed(0)} GFLOP/s in f32; node-llama-cpp's llama.cpp, its better setting`);
console.log("| what | PromptDB | llama.cpp | ratio | target | over the machine's limit |");
console.log("| --- | --- | --- | --- | --- | --- |");
for (const row of rows) {
  console.log(`| ${row.what} | ${format(row.ours, row.unit)} | ${format(row.theirs, row.unit)} | ${times(row.ratio)} | ` +
              `${typeof row.target === "number" ? `${row.target}x` : row.target ?? ""} | ${times(row.limit)} |`);
}
if (options.json) writeFileSync(options.json, JSON.stringify({...raw, rows}, null, 2));
if (options.svg) {
  const csv = path.join(work, "compare.csv");
  const plotted = rows.filter((row) => row.ratio > 0);
  writeFileSync(csv, plotted.map((row) => `"${row.what}",${row.ratio},${row.target ?? "NaN"}`).join("\n") + "\n");
  run("gnuplot", ["-e", `csv='${csv}'; out='${path.resolve(options.svg)}'`, path.join(root, "bench", "plot_compare.gp")]);
}
