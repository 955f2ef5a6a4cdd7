// What the workers in JavaScript have in common; workers.hpp says what a worker is.
'use strict';

const fs = require('fs');
const readline = require('readline');

const say = (line) => console.log(line);
const now = () => Number(process.hrtime.bigint());
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const sleepUntil = (moment) => sleep(Math.max(0, moment - now()) / 1e6);

function sorry(why) {
  say(`sorry: ${why}`);
  process.exit(1);
}

// The package of that name, and its version.
function load(folder, name) {
  const path = `${folder}/${name}`;
  if (!fs.existsSync(path)) sorry(`no ${path}`);
  return [require(path), require(`${path}/package.json`).version];
}

// Calls work(0), work(1), ... at once; what they returned, and the microseconds of processor time
// that it took.
async function atOnce(work, callers) {
  const before = used();
  const results = await Promise.all(Array.from({length: callers}, (_, caller) => work(caller)));
  return [results, used() - before];
}

function used() {
  const usage = process.resourceUsage();
  return usage.userCPUTime + usage.systemCPUTime;
}

// Hears line after line, until there are no more: the verb, and what is behind it, as numbers and
// as words.
async function listen(hear) {
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [verb, ...words] = line.split(' ');
    await hear(verb, words.map(Number), words);
  }
  process.exit(0);
}

module.exports = {say, sorry, now, sleep, sleepUntil, load, atOnce, listen};
