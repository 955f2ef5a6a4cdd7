// Slices of ioredis, for program.hpp: one client, as many callers that each await their replies.
//
//   slices.js FOLDER-OF-IOREDIS URL CALLERS [AUTHORITY]
'use strict';

const fs = require('fs');
const readline = require('readline');

const [folder, url, callers, authority] = process.argv.slice(2);
if (!fs.existsSync(folder)) {
  console.log(`sorry: no ${folder}`);
  process.exit(1);
}
const Redis = require(folder);
const {version} = require(`${folder}/package.json`);

const value = 'x'.repeat(64);
const client = url.startsWith('unix://')
    ? new Redis(url.slice('unix://'.length))
    : new Redis(url, authority ? {tls: {ca: fs.readFileSync(authority)}} : {});

async function speak(caller, end, slice) {
  const key = `key:${caller.number}`;
  for (let begin = performance.now(); begin < end;) {
    if (caller.reading) {
      await client.get(key);
    } else {
      await client.set(key, value);
    }
    caller.reading = !caller.reading;
    const now = performance.now();
    slice.latencies_us.push((now - begin) * 1000);
    if (now <= end) slice.in_window += 1;
    begin = now;
  }
}

function used() {
  const usage = process.resourceUsage();
  return {
    cpu_us: usage.userCPUTime + usage.systemCPUTime,
    switches: usage.voluntaryContextSwitches + usage.involuntaryContextSwitches,
  };
}

async function run(milliseconds, all) {
  const slice = {latencies_us: [], in_window: 0, seconds: milliseconds / 1000};
  const before = used();
  const end = performance.now() + milliseconds;
  await Promise.all(all.map((caller) => speak(caller, end, slice)));
  const after = used();
  slice.cpu_us = after.cpu_us - before.cpu_us;
  slice.switches = after.switches - before.switches;
  return slice;
}

async function main() {
  client.on('error', (fault) => {
    console.log(`sorry: ${fault.message}`);
    process.exit(1);
  });
  await client.ping();
  const all = Array.from({length: Number(callers)}, (_, number) => ({number, reading: false}));
  console.log(`ioredis ${version}, Node.js ${process.versions.node}`);
  for await (const line of readline.createInterface({input: process.stdin})) {
    console.log(JSON.stringify(await run(Number(line), all)));
  }
  process.exit(0);
}

main();
