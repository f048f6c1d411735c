// Time to first token over real documents: questions of MuSiQue, each over ten texts that are modules.
//
//   node bench/documents.mjs [--data musique_s.json] [--model MODEL] [--vocabulary VOCABULARY.gguf] [--questions 5]
//
// Without --model, a random-weight model of SmolLM-135M's shape is made with a real vocabulary (--vocabulary; by
// default Llama's). --data: a JSON list of {question, ctxs: [{text}]}. The defaults lie in $PROMPTDB_SHARED, or ../shared
// beside this checkout. Needs a build (./setup). Everything made stays in build/bench.
import {execFileSync} from "node:child_process";
import {existsSync, mkdirSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {median} from "./statistics.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const shared = process.env.PROMPTDB_SHARED ?? path.join(root, "..", "shared");
const {values: options} = parseArgs({options: {
  data: {type: "string", default: path.join(shared, "data", "musique_s.json")},
  vocabulary: {type: "string", default: path.join(shared, "tokenizers", "ggml-vocab-llama-spm.gguf")},
  model: {type: "string"}, questions: {type: "string", default: "5"},
}});
function fail(message) {
  console.error(`documents: ${message}`);
  process.exit(1);
}
// What is missing is told before anything is made.
const program = path.join(root, "build", "bench", "random_model"), shell = path.join(root, "build", "shell", "pcsh");
for (const file of [program, shell]) if (!existsSync(file)) fail(`${file} is missing; run ./setup first`);
for (const [option, file] of [["data", options.data], ["model", options.model ?? options.vocabulary]]) {
  if (!existsSync(file)) fail(`there is no ${file}; name another with --${file === options.vocabulary ? "vocabulary" : option}`);
}
let items;
try {
  items = JSON.parse(readFileSync(options.data, "utf8"));
} catch (error) {
  fail(`${options.data} can't be read: ${error.message}`);
}
if (!Array.isArray(items) || items.length === 0) fail(`${options.data} is no list of questions`);

const work = path.join(root, "build", "bench", "documents");
mkdirSync(work, {recursive: true});

let model = options.model;
if (model === undefined) {
  model = path.join(work, "random.gguf");
  if (!existsSync(model)) {
    console.error("writing the model …");
    execFileSync(program, [model, options.vocabulary, "30", "576", "1536", "9", "3"], {stdio: ["ignore", "inherit", "inherit"]});
  }
}
const database = path.join(work, "db");
rmSync(database, {recursive: true, force: true});
// Statements go through a file, since documents are longer than a command line may be. Rows come back as JSON.
function run(statements) {
  const file = path.join(work, "statements.pql");
  writeFileSync(file, statements);
  const out = execFileSync(shell, ["--db", database, "--format", "jsonl", "-f", file],
                           {encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26});
  return out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}
const quote = (text) => `'${text.replaceAll("'", "''")}'`;

const questions = items.slice(0, Number(options.questions));
run(`CREATE MODEL m FROM ${quote(path.resolve(model))};`);
console.log("| question | prompt tokens | cached | TTFT, nothing cached | TTFT, from cache | ratio |");
console.log("| --- | --- | --- | --- | --- | --- |");
const ratios = [];
for (const [i, {question, ctxs}] of questions.entries()) {
  const names = ctxs.map((_, n) => `d${n}`);
  const modules = ctxs.map(({text}, n) => `MODULE d${n} AS ${quote(text + "\n")}`);
  const ask = (options) => `SELECT GENERATE (max_tokens => 1, ignore_eos => true) FROM q${i} USE ${names.join(", ")} ` +
                           `PROMPT ${quote(`Question: ${question}\nAnswer:`)} ${options};\n`;
  // The first answer loads the weights.
  const rows = run(`CREATE SCHEMA q${i} USING m (${modules.join(", ")});\nWARM q${i};\n` + ask("") +
                   ask("WITH (cache = off)") + ask("").repeat(5)).filter((row) => "ttft_ms" in row);
  const cold = rows[1], warm = rows.slice(2);
  const cached = median(warm.map((row) => row.ttft_ms));
  ratios.push(cold.ttft_ms / cached);
  console.log(`| ${i + 1} | ${cold.prompt_tokens} | ${warm[0].cached_tokens} | ${(cold.ttft_ms / 1e3).toFixed(2)} s | ` +
              `${cached.toFixed(1)} ms | ${ratios.at(-1).toFixed(1)}x |`);
}
console.log(`\nMedian: ${median(ratios).toFixed(1)}x.`);
