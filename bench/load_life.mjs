// What a server costs that is up for long: connections that do nothing, and memory over time. For
// bench/load.mjs.
import {writeFileSync} from "node:fs";
import {ask, askHttp, connect, statement} from "./load_server.mjs";
import {median} from "./statistics.mjs";

const kib = (bytes) => (bytes / 1024).toFixed(1);
const mib = (bytes) => (bytes / 1024 / 1024).toFixed(1);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Resident memory of each of `count` connections: when it is open, and when it has run a statement.
export async function measureIdle(pg, server, count, json) {
  const warm = await connect(pg, server);
  await warm.query("SHOW SCHEMAS");
  const report = {connections: count, target_bytes: 64 << 10};
  const before = server.memory().resident;
  const clients = [];
  while (clients.length < count) {
    const some = Math.min(50, count - clients.length);
    clients.push(...await Promise.all(Array.from({length: some}, () => connect(pg, server))));
  }
  report.open_bytes = (server.memory().resident - before) / count;
  for (const client of clients) await client.query("SHOW SCHEMAS");
  report.used_bytes = (server.memory().resident - before) / count;
  await Promise.all(clients.map((client) => client.end()));
  await pause(1000);
  report.left_bytes = (server.memory().resident - before) / count;
  await warm.end();
  console.log(`${count} idle connections, resident memory of each: ${kib(report.open_bytes)} KiB when open, ` +
              `${kib(report.used_bytes)} KiB when it has run a statement (target: under 64); ${kib(report.left_bytes)} KiB left when gone`);
  if (json) writeFileSync(json, JSON.stringify(report, null, 2) + "\n");
}

// Many clients for `minutes`: most ask and stay, by SQL and over HTTP, some leave and come back, leave in
// the middle of an answer, or err. Prints memory over time. True where it is flat: where the last quarter has
// no more than the second, but for a share that allocators take.
export async function soak(pg, server, load, minutes, question, json) {
  const kMostGrowth = 1.02;
  const begin = performance.now(), end = begin + minutes * 60e3;
  const samples = [];
  let ttft = [], answers = 0, left = 0, errors = 0;
  const client = async (i) => {
    let connection = await connect(pg, server);
    for (let round = 0; performance.now() < end; ++round) {
      const document = i % load.documents.length, asked = question(i, round);
      const text = statement(load, document, asked);
      const what = (i * 7 + round) % 20;
      if (what === 0) {
        // Gone in the middle: whoever waits for the answer is told by an error, which is expected here.
        const gone = connection;
        gone.on("error", () => {});
        await ask(pg, gone, text, () => gone.connection.stream.destroy()).catch(() => {});
        ++left;
        connection = await connect(pg, server);
      } else if (what === 1) {
        await connection.query("SELECT GENERATE FROM nobody PROMPT 'x'").catch(() => { ++errors; });
      } else if (what === 3) {
        await askHttp(server, load, document, asked, {onFirst: () => false});
        ++left;
      } else if (what % 4 === 0) {
        ttft.push((await askHttp(server, load, document, asked)).ttft);
        ++answers;
      } else {
        const answer = await ask(pg, connection, text);
        ttft.push(answer.ttft);
        ++answers;
      }
      if (what === 2) {
        await connection.end();
        connection = await connect(pg, server);
      }
    }
    await connection.end();
  };
  const watch = async () => {
    const every = Math.min(60e3, (minutes * 60e3) / 20);
    while (performance.now() + every / 2 < end) {
      await pause(every);
      const {resident, anonymous} = server.memory();
      const p50 = median(ttft) ?? 0;
      ttft = [];
      samples.push({seconds: (performance.now() - begin) / 1e3, resident, anonymous, answers, left, errors});
      console.log(`${(samples.at(-1).seconds / 60).toFixed(1)} min: ${answers} answers, ${left} left, ${errors} errors, ` +
                  `TTFT p50 ${p50.toFixed(2)} s; resident ${mib(resident)} MiB, anonymous ${mib(anonymous)} MiB`);
    }
  };
  await Promise.all([watch(), ...load.questions.map((_, i) => client(i))]);
  const quarter = (n) =>
    median(samples.slice((samples.length * (n - 1)) >> 2, (samples.length * n) >> 2).map(({anonymous}) => anonymous));
  const growth = quarter(4) / quarter(2);
  const isFlat = growth <= kMostGrowth;
  console.log(`anonymous memory, last quarter over second: ${growth.toFixed(4)}: ${isFlat ? "flat" : "IT GROWS"}`);
  if (json) writeFileSync(json, JSON.stringify({minutes, growth, isFlat, samples}, null, 2) + "\n");
  return isFlat;
}
