"""A process that uses a map by redis-py; worker.hpp says what it is told and answers.

    worker.py SOCKET MAP CALLERS
"""

import json
import pathlib
import platform
import sys
import time

sys.dont_write_bytecode = True  # beside the sources
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import workers  # noqa: E402

redis = workers.imported("redis")

FIELDS = [f"entry {number}" for number in range(1000)]
UPDATED = "updated"


def get(client, name, field):
    if client.hget(name, field) is None:
        raise LookupError(field)


def set_(client, name, field):
    client.hset(name, field, time.monotonic_ns())


def update(client, name, _):
    def add_one(pipeline):
        value = int(pipeline.hget(name, UPDATED) or 0)
        pipeline.multi()
        pipeline.hset(name, UPDATED, value + 1)

    client.transaction(add_one, name)


OPERATIONS = {"get": get, "set": set_, "update": update}


def use(operation, number, callers, begin, end):
    took = []
    in_window = 0
    following = number * len(FIELDS) // callers
    workers.sleep_until(begin)
    before = time.monotonic_ns()
    while before < end:
        operation(FIELDS[following])
        after = time.monotonic_ns()
        in_window += after <= end
        took.append(after - before)
        following = (following + 1) % len(FIELDS)
        before = after
    return took, in_window


def run(operation, callers, begin, end):
    results, cpu = workers.at_once(
        lambda number: use(operation, number, callers, begin, end), callers
    )
    took = [each for own, _ in results for each in own]
    in_window = sum(count for _, count in results)
    return {"in_window": in_window, "took_ns": took, "cpu_us": cpu}


def main(socket, name, callers):
    client = redis.Redis(unix_socket_path=socket)
    client.ping()
    workers.say(
        "HGET, HSET, and WATCH, HGET, MULTI HSET EXEC"
        f" by redis-py {redis.__version__}, Python {platform.python_version()}"
    )
    for line in sys.stdin:
        _, begin, end, operation = line.split()
        do = OPERATIONS[operation]
        answer = run(lambda field: do(client, name, field), int(callers), int(begin), int(end))
        workers.say(json.dumps(answer))


main(*sys.argv[1:])
