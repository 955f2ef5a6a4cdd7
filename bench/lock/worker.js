// A process that uses redlock on ioredis; worker.hpp says what it is told and what it answers.
//
//   worker.js NODE-MODULES SOCKET NAME LEASE-IN-MS CALLERS
'use strict';

const fs = require('fs');
const readline = require('readline');

const [folder, socket, name, lease, callers] = process.argv.slice(2);
for (const each of ['ioredis', 'redlock']) {
  if (!fs.existsSync(`${folder}/${each}`)) {
    console.log(`sorry: no ${folder}/${each}`);
    process.exit(1);
  }
}
const Redis = require(`${folder}/ioredis`);
const Redlock = require(`${folder}/redlock`);
const version = (each) => require(`${folder}/${each}/package.json`).version;

const client = new Redis(socket);
// Its default gives up after ten tries, which is no waiting.
const redlock = new Redlock([client], {retryCount: -1});
const now = () => Number(process.hrtime.bigint());
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function use(caller, begin, end, section, rest, out) {
  await sleep(Math.max(0, begin - now()) / 1e6);
  for (let asked = now(); asked < end;) {
    const lock = await redlock.lock(name, Number(lease));
    const held = now();
    let leaving = held;
    if (section > 0) {
      await sleep(section / 1e3);
      leaving = now();
    }
    await lock.unlock();
    const released = now();
    out.push(caller, asked - begin, held - begin, leaving - begin, released - begin);
    asked = released;
    if (rest > 0) {
      await sleep(rest / 1e3);
      asked = now();
    }
  }
}

function used() {
  const usage = process.resourceUsage();
  return usage.userCPUTime + usage.systemCPUTime;
}

async function run(begin, end, section, rest) {
  const acquisitions = [];
  const before = used();
  await Promise.all(Array.from({length: Number(callers)},
      (_, caller) => use(caller, begin, end, section, rest, acquisitions)));
  return {acquisitions, cpu_us: used() - before};
}

async function main() {
  client.on('error', (fault) => {
    console.log(`sorry: ${fault.message}`);
    process.exit(1);
  });
  await client.ping();
  console.log(`redlock ${version('redlock')} on ioredis ${version('ioredis')}, ` +
      `Node.js ${process.versions.node}: a try each 100 to 300 ms (its default)`);
  let held;
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [verb, ...numbers] = line.split(' ');
    if (verb === 'run') {
      console.log(JSON.stringify(await run(...numbers.map(Number))));
    } else if (verb === 'hold') {
      held = await redlock.lock(name, Number(lease));
      console.log(String(now()));
    } else {
      await held.unlock();
      console.log('released');
    }
  }
  process.exit(0);
}

main();
