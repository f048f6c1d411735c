// pcserver under load, beside llama.cpp under the same load, in one run; and what it costs to be up.
//
//   node bench/load.mjs [--clients 64] [--documents 8] [--document-tokens 1024] [--new-tokens 32] [--decode 32]
//                       [--rounds 2] [--runs 3] [--sequences 8,16,32] [--threads N] [--json FILE] [--quick] [--alone] [--http]
//   node bench/load.mjs --minutes 60     # a soak: memory over time, and whether it stays flat
//   node bench/load.mjs --idle 1000      # memory of connections that do nothing
//
// Every client asks over one of the documents, `rounds` questions one after another, all clients at once;
// answers stream. PromptDB is the real pcserver, asked by `pg` over TCP or, with --http, by OpenAI's API.
// llama.cpp is node-llama-cpp in its own process, without a network between; it is measured once with each
// number of sequences, with flash attention on and off, and then with the best of these, `runs` times in turns
// with PromptDB.
// Needs a build (./setup), node, npm (which fetches the pinned peer and pg), python3-numpy, and the folder
// with make_gguf.py: $PROMPTDB_PEER, or ../shared/peer beside this checkout. Everything made stays in
// build/bench. --quick takes a tiny model, to see that all of it works.
import {fork} from "node:child_process";
import {copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync} from "node:fs";
import {cpus} from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";
import {measureIdle, soak} from "./load_life.mjs";
import {loadPg, runLoad, Server, setUp} from "./load_server.mjs";
import {installPeer} from "./peer.mjs";
import {randomModel, S, TINY} from "./random_gguf.mjs";
import {median, percentile} from "./statistics.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const {values: options} = parseArgs({options: {
  clients: {type: "string", default: "64"}, documents: {type: "string", default: "8"},
  "document-tokens": {type: "string", default: "1024"}, "new-tokens": {type: "string", default: "32"},
  decode: {type: "string", default: "32"}, rounds: {type: "string", default: "2"}, runs: {type: "string", default: "3"},
  sequences: {type: "string", default: "8,16,32"}, threads: {type: "string", default: String(cpus().length)}, json: {type: "string"}, quick: {type: "boolean", default: false},
  alone: {type: "boolean", default: false}, http: {type: "boolean", default: false}, minutes: {type: "string"}, idle: {type: "string"},
}});
const number = (name) => {
  const value = Number(options[name]);
  if (!(value > 0)) fail(`--${name} takes a number above 0, not "${options[name]}"`);
  return value;
};
function fail(message) {
  console.error(`load: ${message}`);
  process.exit(1);
}

// Words without spaces, of which the vocabulary of make_gguf.py makes a token a letter; three tokens stand
// for the space before the first.
function letters(tokens, seed) {
  let text = "";
  for (let i = 0; i < tokens - 3; ++i) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    text += String.fromCharCode(97 + (seed >>> 24) % 26);
  }
  return text;
}

if (!existsSync(path.join(root, "build", "server", "pcserver"))) fail("build/server/pcserver is missing; run ./setup first");
const work = path.join(root, "build", "bench", "load");
// Where bench/compare.mjs installs it, too.
const peerFolder = path.join(root, "build", "bench", "compare");
mkdirSync(work, {recursive: true});
const clients = number("clients"), quick = options.quick;
const newTokens = number("new-tokens"), documentTokens = quick ? 128 : number("document-tokens");
const question = (client, round) => letters(newTokens, 1 + client + 1000 * round);
const load = {
  model: randomModel(root, work, quick ? TINY : S, "bf16", 16384), threads: number("threads"), decode: number("decode"), newTokens,
  documents: Array.from({length: number("documents")}, (_, i) => letters(documentTokens, 5000 + i)),
  questions: Array.from({length: clients},
                        (_, client) => Array.from({length: number("rounds")}, (_, round) => question(client, round))),
};
const pg = loadPg(root);

async function startServer(args) {
  const database = path.join(work, "db");
  rmSync(database, {recursive: true, force: true});
  const server = await Server.start(root, database, [...args, "--threads", String(load.threads)]);
  process.on("exit", () => server.child.kill("SIGKILL"));
  await setUp(pg, server, load);
  return server;
}

// ---- The comparison ----

class Peer {
  static async start(file, sequences, flash) {
    const child = fork("load_llama_cpp.mjs", [file, String(sequences), flash ? "1" : "0"], {cwd: peerFolder});
    const peer = new Peer();
    Object.assign(peer, {child, sequences, flash});
    await peer.receive();  // it is ready
    return peer;
  }
  receive() {
    return new Promise((resolve, reject) => {
      this.child.once("message", resolve);
      this.child.once("exit", () => reject(new Error("the peer ended")));
    });
  }
  run() {
    this.child.send({run: true});
    return this.receive();
  }
  stop() {
    this.child.removeAllListeners("exit");
    this.child.disconnect();
    return new Promise((resolve) => { this.child.on("exit", resolve); });
  }
  toString() {
    return `${this.sequences} sequences, flash attention ${this.flash ? "on" : "off"}`;
  }
}

const requests = load.questions.flat().length;
const summary = (runs) => ({
  requests_per_s: median(runs.map((run) => requests / run.seconds)),
  tokens_per_s: median(runs.map((run) => run.tokens / run.seconds)),
  ttft_p50_s: percentile(runs.flatMap((run) => run.ttft), 0.5), ttft_p99_s: percentile(runs.flatMap((run) => run.ttft), 0.99),
});
const told = (name, run) =>
  console.error(`  ${name}: ${(run.tokens / run.seconds).toFixed(1)} tokens/s, TTFT p50 ${median(run.ttft).toFixed(2)} s, ` +
                `p99 ${percentile(run.ttft, 0.99).toFixed(2)} s`);

async function bestPeer(file) {
  let best;
  for (const sequences of options.sequences.split(",").map(Number)) {
    for (const flash of [true, false]) {
      const peer = await Peer.start(file, sequences, flash);
      const run = await peer.run();
      told(`llama.cpp, ${peer}`, run);
      if (best && best.seconds <= run.seconds) {
        await peer.stop();
      } else {
        if (best) await best.peer.stop();
        best = {peer, seconds: run.seconds};
      }
    }
  }
  return best.peer;
}

async function compare() {
  // A statement that waits for a worker would not be in the batch.
  const server = await startServer(["--workers", String(clients), "--max-connections", String(4 * clients)]);
  let peer;
  if (!options.alone) {
    installPeer(peerFolder);
    copyFileSync(path.join(root, "bench", "load_llama_cpp.mjs"), path.join(peerFolder, "load_llama_cpp.mjs"));
    const file = path.join(work, "load.json");
    writeFileSync(file, JSON.stringify(load));
    peer = await bestPeer(file);
  }
  const own = [], theirs = [];
  await runLoad(pg, server, load, options.http);  // as the peer had its first
  for (let run = 0; run < number("runs"); ++run) {
    own.push(await runLoad(pg, server, load, options.http));
    told("PromptDB", own.at(-1));
    if (peer) theirs.push(await peer.run());
    if (peer) told("llama.cpp", theirs.at(-1));
  }
  const report = {
    date: new Date().toISOString().slice(0, 10), processor: cpus()[0].model, threads: load.threads, clients, requests,
    documents: load.documents.length, document_tokens: documentTokens, new_tokens: newTokens, decoded_tokens: load.decode,
    prompt_tokens: own[0].promptTokens / requests, memory: server.memory(), promptdb: summary(own),
    llama_cpp: peer && summary(theirs), llama_cpp_settings: peer && `${peer}`,
    ratios: peer && own.map((run, i) => run.tokens / run.seconds / (theirs[i].tokens / theirs[i].seconds)),
    runs: {promptdb: own.map(({ttft, ...rest}) => rest), llama_cpp: theirs.map(({ttft, ...rest}) => rest)},
  };
  await server.stop();
  if (peer) await peer.stop();
  print(report);
}

function print(report) {
  const {promptdb: own, llama_cpp: theirs} = report;
  console.log(`${report.date}, ${report.processor}, ${report.threads} threads; ${clients} clients over ${report.documents} ` +
              `documents of ${documentTokens} tokens, ${requests} requests of ${newTokens} new and ${load.decode} decoded tokens`);
  if (theirs) console.log(`llama.cpp: ${report.llama_cpp_settings}, the best of those tried`);
  console.log(theirs ? "| what | PromptDB | llama.cpp | ratio |\n| --- | --- | --- | --- |" : "| what | PromptDB |\n| --- | --- |");
  const row = (what, name, unit, inverse) => {
    const value = (from) => `${from[name] >= 100 ? from[name].toFixed(0) : from[name].toPrecision(3)} ${unit}`;
    const ratio = theirs && (inverse ? theirs[name] / own[name] : own[name] / theirs[name]);
    console.log(`| ${what} | ${value(own)} |` + (theirs ? ` ${value(theirs)} | ${ratio.toFixed(2)}x |` : ""));
  };
  row("requests", "requests_per_s", "/s", false);
  row("tokens", "tokens_per_s", "/s", false);
  row("TTFT, median", "ttft_p50_s", "s", true);
  row("TTFT, p99", "ttft_p99_s", "s", true);
  if (theirs) console.log(`tokens/s, run by run: ${report.ratios.map((ratio) => `${ratio.toFixed(2)}x`).join(", ")}`);
  if (options.json) writeFileSync(options.json, JSON.stringify(report, null, 2) + "\n");
}

if (options.idle) {
  const connections = number("idle");
  const server = await startServer(["--max-connections", String(connections + 8)]);
  await measureIdle(pg, server, connections, options.json);
  await server.stop();
} else if (options.minutes) {
  // A small cache, so that it is full soon, and what grows after is no cache.
  const server = await startServer(["--workers", String(clients), "--max-connections", String(4 * clients), "--cpu-cache", "256MB"]);
  const isFlat = await soak(pg, server, load, number("minutes"), question, options.json);
  await server.stop();
  process.exit(isFlat ? 0 : 1);
} else {
  await compare();
}
process.exit(0);
