"""A process that uses a queue by RQ; worker.hpp says what it is told and answers.

    worker.py SOCKET QUEUE
"""

import json
import logging
import pathlib
import platform
import sys
import time

sys.dont_write_bytecode = True  # beside the sources
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import workers  # noqa: E402

redis = workers.imported("redis")
rq = workers.imported("rq")

END = "end"

came = []  # what the last job was, and when it came


def note(job):
    """What every job does. It is called by its name, as all jobs are."""
    came[:] = job, time.monotonic_ns()


NOTE = f"{__name__}.{note.__name__}"
# A job that is done is kept by nobody else either.
KEPT = {"result_ttl": 0}


class Jobs:
    def __init__(self, socket, name):
        client = redis.Redis(unix_socket_path=socket)
        self.queue = rq.Queue(name, connection=client)
        # The one that does not fork for each job. What its work() does with each, step by step.
        self.worker = rq.SimpleWorker([self.queue], connection=client)
        self.worker.log.setLevel(logging.WARNING)
        self.worker.register_birth()

    def push(self, job, count=1):
        if count == 1:
            self.queue.enqueue(NOTE, job, **KEPT)
        else:
            data = [rq.Queue.prepare_data(NOTE, (job,), **KEPT) for _ in range(count)]
            self.queue.enqueue_many(data)
        return count

    def work(self, wait=None):
        """One; how many there were. `wait`: seconds."""
        self.worker.check_for_suspension(burst=True)
        taken = self.worker.dequeue_job_and_maintain_ttl(wait)
        if taken is None:
            return 0
        self.worker.execute_job(*taken)
        self.worker.heartbeat()
        return 1

    def once(self, verb, at_once):
        return self.push(str(time.monotonic_ns()), at_once) if verb == "push" else self.work()


def run(jobs, begin, end, verb, at_once):
    begin, end, at_once = int(begin), int(end), int(at_once)
    took = []
    out = {"jobs": 0, "in_window": 0, "took_ns": took, "dry": 0}
    workers.sleep_until(begin)
    before = time.monotonic_ns()
    while before < end:
        count = jobs.once(verb, at_once)
        after = time.monotonic_ns()
        out["jobs"] += count
        # One that the end interrupts counts by its part.
        out["in_window"] += count * min(1, (end - before) / (after - before))
        if count == 0:
            out["dry"] = 1
        took.append(after - before)
        before = after
    return out


def do(jobs, count, verb, at_once):
    left = int(count)
    while left > 0:
        done = jobs.once(verb, min(int(at_once), left))
        if done == 0:
            sys.exit(workers.say("sorry: there are fewer jobs than there should be"))
        left -= done
    return {"jobs": int(count)}


def rest(jobs):
    out = 0
    while jobs.work():
        out += 1
    return {"jobs": out}


def send(jobs, begin, end, pause, ends):
    end, pause = int(end), int(pause)
    count = 0
    following = int(begin) + pause
    while following < end:
        workers.sleep_until(following)
        now = time.monotonic_ns()
        if now >= end:
            break
        jobs.push(str(now))
        count += 1
        following += pause + following % (pause // 3)
    workers.sleep_until(end)
    for _ in range(int(ends)):
        jobs.push(END)
    return {"jobs": count}


def wait(jobs):
    since = []
    while True:
        jobs.work(jobs.worker.dequeue_timeout)
        job, moment = came
        if job == END:
            return {"jobs": len(since), "since_ns": since}
        since.append(moment - int(job))


def main(socket, name):
    jobs = Jobs(socket, name)
    workers.say(
        f"RQ {rq.__version__} on redis-py {redis.__version__}, Python {platform.python_version()}"
    )
    verbs = {"run": run, "do": do, "rest": rest, "send": send, "wait": wait}
    for line in sys.stdin:
        verb, *words = line.split()
        before = workers.used()
        out = verbs[verb](jobs, *words)
        workers.say(json.dumps({**out, "cpu_us": workers.used() - before}))


main(*sys.argv[1:])
