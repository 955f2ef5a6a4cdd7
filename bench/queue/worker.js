// A process that uses a queue by BullMQ; worker.hpp says what it is told and what it answers.
//
//   worker.js NODE-MODULES SOCKET QUEUE
'use strict';

const workers = require('../workers.js');

const [folder, socket, name] = process.argv.slice(2);
const [, versionOfRedis] = workers.load(folder, 'ioredis');
const [{Queue, Worker}, version] = workers.load(folder, 'bullmq');
const {now, sleepUntil} = workers;

const END = 'end';

const connection = {path: socket, maxRetriesPerRequest: null};
// A job that is done is kept by nobody else either.
const options = {removeOnComplete: true};
const queue = new Queue(name, {connection});
// The worker begins with `resume` and ends, after the job that it has, with `pause`.
let seen;       // of a job that has come
let done;       // of one whose end the server has noted
let nothing;    // that there is none
const worker = new Worker(name, async (job) => seen(job.data), {connection, autorun: false});
worker.on('completed', () => done());
worker.on('drained', () => nothing());

function hear(handlers) {
  ({seen = () => {}, done = () => {}, nothing = () => {}} = handlers);
}

const push = (job, count) => count === 1 ?
  queue.add('job', job, options) :
  queue.addBulk(Array.from({length: count}, () => ({name: 'job', data: job, opts: options})));

// How much of it was done by the end.
const part = (before, end, after, count) =>
  count * Math.max(0, Math.min(1, (end - before) / (after - before)));

async function pushes(begin, end, count) {
  const out = {jobs: 0, in_window: 0, took_ns: [], dry: 0};
  await sleepUntil(begin);
  for (let before = now(); before < end;) {
    await push(String(before), count);
    const after = now();
    out.jobs += count;
    out.in_window += part(before, end, after, count);
    out.took_ns.push(after - before);
    before = after;
  }
  return out;
}

async function works(begin, end) {
  const out = {jobs: 0, in_window: 0, took_ns: [], dry: 0};
  await sleepUntil(begin);
  let before = now();
  const ended = new Promise((over) => {
    hear({
      done: () => {
        const after = now();
        out.jobs += 1;
        out.in_window += part(before, end, after, 1);
        out.took_ns.push(after - before);
        before = after;
      },
      nothing: () => {
        if (now() < end) out.dry = 1;
      },
    });
    worker.resume();
    setTimeout(over, Math.max(0, end - now()) / 1e6);
  });
  await ended;
  await worker.pause();
  return out;
}

async function pushAll(count, atOnce) {
  for (let left = count; left > 0; left -= atOnce) await push(String(now()), Math.min(left, atOnce));
}

async function workAll(count) {
  if (count === 0) return;
  let begun = 0;
  let ended = 0;
  let paused;
  await new Promise((over) => {
    hear({
      seen: () => {
        begun += 1;
        if (begun === count) paused = worker.pause();
      },
      done: () => {
        ended += 1;
        if (ended === count) over();
      },
    });
    worker.resume();
  });
  await paused;
}

async function rest() {
  const jobs = await queue.getWaitingCount();
  await workAll(jobs);
  return {jobs};
}

async function send(begin, end, pause, ends) {
  let jobs = 0;
  for (let next = begin + pause; next < end; next += pause + next % Math.trunc(pause / 3)) {
    await sleepUntil(next);
    const moment = now();
    if (moment >= end) break;
    await push(String(moment), 1);
    jobs += 1;
  }
  await sleepUntil(end);
  for (let i = 0; i < ends; ++i) await push(END, 1);
  return {jobs};
}

async function wait() {
  const since = [];
  let paused;
  await new Promise((over) => {
    hear({
      seen: (job) => {
        if (job === END) {
          paused = worker.pause();
        } else {
          since.push(now() - Number(job));
        }
      },
      done: () => {
        if (paused) over();
      },
    });
    worker.resume();
  });
  await paused;
  return {jobs: since.length, since_ns: since};
}

const verbs = {
  run: ([begin, end, , atOnce], [, , verb]) =>
    verb === 'push' ? pushes(begin, end, atOnce) : works(begin, end),
  do: async ([count, , atOnce], [, verb]) => {
    await (verb === 'push' ? pushAll(count, atOnce) : workAll(count));
    return {jobs: count};
  },
  rest,
  send: (numbers) => send(...numbers),
  wait,
};

async function main() {
  for (const each of [queue, worker]) {
    each.on('error', (fault) => workers.sorry(fault.message));
    await each.waitUntilReady();
  }
  workers.say(`BullMQ ${version} on ioredis ${versionOfRedis}, Node.js ${process.versions.node}`);
  await workers.listen(async (verb, numbers, words) => {
    const [[out], cpu] = await workers.atOnce(() => verbs[verb](numbers, words), 1);
    workers.say(JSON.stringify({...out, cpu_us: cpu}));
  });
}

main();
