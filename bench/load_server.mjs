// A pcserver under load, and its clients: for bench/load.mjs.
import {execFileSync, spawn} from "node:child_process";
import {existsSync, readFileSync} from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";

// The `pg` of tests/fetch_clients: PostgreSQL's client for Node.js.
export function loadPg(root) {
  const folder = path.join(root, "build", "clients");
  execFileSync(path.join(root, "tests", "fetch_clients"), [folder], {stdio: ["ignore", "ignore", "inherit"]});
  if (!existsSync(path.join(folder, "node_modules", "pg"))) throw new Error("the client pg could not be fetched");
  return createRequire(folder + "/")("pg");
}

export class Server {
  // Starts the real binary on a free port, and waits until it listens.
  static async start(root, database, args = []) {
    const child = spawn(path.join(root, "build", "server", "pcserver"),
                        ["--db", database, "--port", "0", "--http-port", "0", ...args], {stdio: ["ignore", "ignore", "pipe"]});
    let log = "";
    await new Promise((resolve, reject) => {
      child.stderr.on("data", (data) => {
        log += data;
        if (log.includes("event=ready")) resolve();
      });
      child.on("exit", () => reject(new Error(`pcserver does not start:\n${log}`)));
    });
    const portOf = (protocol) => Number(log.match(new RegExp(`protocol=${protocol} .*port=(\\d+)`))[1]);
    return new Server(child, portOf("postgresql"), portOf("http"));
  }

  constructor(child, port, httpPort) {
    this.child = child;
    this.port = port;
    this.httpPort = httpPort;
  }

  // Resident memory in bytes: all of it, and what is no mapped file.
  memory() {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    const bytes = (name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))[1]) * 1024;
    return {resident: bytes("VmRSS"), anonymous: bytes("RssAnon")};
  }

  async stop() {
    this.child.kill("SIGTERM");
    await new Promise((resolve) => { this.child.on("exit", resolve); });
  }
}

export const connect = async (pg, server) => {
  const client = new pg.Client({host: "127.0.0.1", port: server.port, user: "load", database: "load"});
  await client.connect();
  return client;
};

// Asks for an answer as a stream of rows. `onFirst` is called once, at the first. Seconds to it, and the last row.
export function ask(pg, client, text, onFirst = () => {}) {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    let first, last;
    const query = client.query(new pg.Query(text));
    query.on("row", (row) => {
      first ??= performance.now();
      last = row;
      onFirst();
    });
    query.on("end", () => resolve({ttft: (first - begin) / 1e3, figures: last}));
    query.on("error", reject);
  });
}

// The same over HTTP, as a stream of events; `onFirst` may return false, which ends the connection. `more`:
// members of the request.
export async function askHttp(server, load, document, question, {onFirst = () => true, more = {}} = {}) {
  const begin = performance.now();
  const response = await fetch(`http://127.0.0.1:${server.httpPort}/v1/completions`, {
    method: "POST", headers: {"content-type": "application/json"},
    body: JSON.stringify({model: "m", prompt: question, max_tokens: load.decode, stream: true,
                          stream_options: {include_usage: true}, promptdb: {schema: "load", use: [`d${document}`]}, ...more}),
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  let ttft, text = "";
  for await (const bytes of response.body) {
    if (ttft === undefined) {
      ttft = (performance.now() - begin) / 1e3;
      if (!onFirst()) return {ttft};  // cancels what is left, which closes the connection
    }
    text += Buffer.from(bytes).toString("latin1");
  }
  const events = text.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice("data: ".length));
  if (events.at(-1) !== "[DONE]") throw new Error(`the stream ends in ${text.slice(-200)}`);
  const {prompt_tokens, completion_tokens} = JSON.parse(events.at(-2)).usage;
  return {ttft, figures: {prompt_tokens, output_tokens: completion_tokens}};
}

export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

export const statement = (load, document, question) =>
  `SELECT GENERATE (max_tokens => ${load.decode}, ignore_eos => true) FROM load USE d${document} ` +
  `PROMPT ${quoted(question)} WITH (stream = on)`;

// The documents become modules whose states are computed before anybody asks.
export async function setUp(pg, server, load) {
  const client = await connect(pg, server);
  const modules = load.documents.map((text, i) => `MODULE d${i} AS ${quoted(text)}`);
  await client.query(`CREATE MODEL m FROM ${quoted(load.model)}`);
  await client.query(`CREATE SCHEMA load USING m (UNION documents (${modules.join(", ")}))`);
  await client.query("WARM load");
  await client.end();
}

// Every client asks its questions one after another, all clients at once.
export async function runLoad(pg, server, load, overHttp = false) {
  const clients = overHttp ? [] : await Promise.all(load.questions.map(() => connect(pg, server)));
  const askBy = (i, document, question) => overHttp
    ? askHttp(server, load, document, question, {more: {temperature: 0}})
    : ask(pg, clients[i], statement(load, document, question));
  const answers = [];
  const begin = performance.now();
  await Promise.all(load.questions.map(async (questions, i) => {
    for (const question of questions) {
      answers.push(await askBy(i, i % load.documents.length, question));
    }
  }));
  const seconds = (performance.now() - begin) / 1e3;
  await Promise.all(clients.map((client) => client.end()));
  return {
    seconds, ttft: answers.map((answer) => answer.ttft),
    tokens: answers.reduce((sum, {figures}) => sum + Number(figures.output_tokens), 0),
    promptTokens: answers.reduce((sum, {figures}) => sum + Number(figures.prompt_tokens), 0),
  };
}
