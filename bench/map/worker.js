// A process that uses a map by ioredis; worker.hpp says what it is told and what it answers.
//
//   worker.js NODE-MODULES SOCKET MAP CALLERS
'use strict';

const workers = require('../workers.js');

const [folder, socket, map, callers] = process.argv.slice(2);
const [Redis, version] = workers.load(folder, 'ioredis');
const {now} = workers;

const client = new Redis(socket);
const fields = Array.from({length: 1000}, (_, number) => `entry ${number}`);
const updated = 'updated';

// One caller at a time: all of them share the connection that watches.
async function update() {
  for (;;) {
    const [, [, value]] = await client.pipeline().watch(map).hget(map, updated).exec();
    if (await client.multi().hset(map, updated, Number(value) + 1).exec()) return;
  }
}

const operations = {
  get: async (field) => {
    if (await client.hget(map, field) === null) throw new Error(`there is no ${field}`);
  },
  set: (field) => client.hset(map, field, now()),
  update,
};

async function use(operation, number, begin, end, out) {
  let next = Math.floor(number * fields.length / callers);
  await workers.sleepUntil(begin);
  for (let before = now(); before < end;) {
    await operation(fields[next]);
    const after = now();
    if (after <= end) out.in_window += 1;
    out.took_ns.push(after - before);
    next = (next + 1) % fields.length;
    before = after;
  }
}

async function run(operation, begin, end) {
  const out = {in_window: 0, took_ns: []};
  const [, cpu] = await workers.atOnce(
    (number) => use(operation, number, begin, end, out), Number(callers));
  return {...out, cpu_us: cpu};
}

async function main() {
  client.on('error', (fault) => workers.sorry(fault.message));
  await client.ping();
  workers.say('HGET, HSET, and WATCH HGET, MULTI HSET EXEC in two writes'
    + ` by ioredis ${version}, Node.js ${process.versions.node}`);
  await workers.listen(async (verb, [begin, end], [, , operation]) => {
    workers.say(JSON.stringify(await run(operations[operation], begin, end)));
  });
}

main();
