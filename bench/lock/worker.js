// A process that uses redlock on ioredis; worker.hpp says what it is told and what it answers.
//
//   worker.js NODE-MODULES SOCKET NAME LEASE-IN-MS CALLERS
'use strict';

const workers = require('../workers.js');

const [folder, socket, name, lease, callers] = process.argv.slice(2);
const [Redis, versionOfRedis] = workers.load(folder, 'ioredis');
const [Redlock, versionOfRedlock] = workers.load(folder, 'redlock');
const {now} = workers;

const client = new Redis(socket);
// Its default gives up after ten tries, which is no waiting.
const redlock = new Redlock([client], {retryCount: -1});

async function use(caller, begin, end, section, rest, out) {
  await workers.sleepUntil(begin);
  for (let asked = now(); asked < end;) {
    const lock = await redlock.lock(name, Number(lease));
    const held = now();
    let leaving = held;
    if (section > 0) {
      await workers.sleep(section / 1e3);
      leaving = now();
    }
    await lock.unlock();
    const released = now();
    out.push(caller, asked - begin, held - begin, leaving - begin, released - begin);
    asked = released;
    if (rest > 0) {
      await workers.sleep(rest / 1e3);
      asked = now();
    }
  }
}

async function run(...when) {
  const acquisitions = [];
  const [, cpu] = await workers.atOnce(
      (caller) => use(caller, ...when, acquisitions), Number(callers));
  return {acquisitions, cpu_us: cpu};
}

async function main() {
  client.on('error', (fault) => workers.sorry(fault.message));
  await client.ping();
  workers.say(`redlock ${versionOfRedlock} on ioredis ${versionOfRedis}, ` +
      `Node.js ${process.versions.node}: a try each 100 to 300 ms (its default)`);
  let held;
  await workers.listen(async (verb, numbers) => {
    if (verb === 'run') {
      workers.say(JSON.stringify(await run(...numbers)));
    } else if (verb === 'hold') {
      held = await redlock.lock(name, Number(lease));
      workers.say(String(now()));
    } else {
      await held.unlock();
      workers.say('released');
    }
  });
}

main();
