// A process that adds to a counter by ioredis; worker.hpp says what it is told and what it answers.
//
//   worker.js NODE-MODULES SOCKET TYPE CALLERS
'use strict';

const workers = require('../workers.js');

const [folder, socket, type, callers] = process.argv.slice(2);
const [Redis, version] = workers.load(folder, 'ioredis');
const {now} = workers;

const client = new Redis(socket);
const key = `stats:bench:${type}`;

async function use(begin, end, out) {
  await workers.sleepUntil(begin);
  for (let before = now(); before < end;) {
    await client.incrby(key, 1);
    const after = now();
    out.added += 1;
    if (after <= end) out.in_window += 1;
    out.took_ns.push(after - before);
    before = after;
  }
}

async function run(begin, end) {
  const out = {added: 0, in_window: 0, took_ns: []};
  const [, cpu] = await workers.atOnce(() => use(begin, end, out), Number(callers));
  return {...out, cpu_us: cpu};
}

async function main() {
  client.on('error', (fault) => workers.sorry(fault.message));
  await client.ping();
  workers.say(`INCRBY by ioredis ${version}, Node.js ${process.versions.node}`);
  await workers.listen(async (verb, [begin, end]) => {
    workers.say(verb === 'run' ? JSON.stringify(await run(begin, end)) : 'flushed');
  });
}

main();
