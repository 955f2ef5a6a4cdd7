"""A process that adds to a counter by redis-py; worker.hpp says what it is told and answers.

    worker.py INCRBY|update_stats SOCKET TYPE CALLERS
"""

import json
import pathlib
import platform
import sys
import time

sys.dont_write_bytecode = True  # beside the sources
root = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(root / "bench"), str(root / "tests" / "support")]
import workers  # noqa: E402

redis = workers.imported("redis")
from update_stats import update_stats  # noqa: E402

CONTEXT = "bench"


def use(add, begin, end):
    took = []
    in_window = 0
    workers.sleep_until(begin)
    before = time.monotonic_ns()
    while before < end:
        add()
        after = time.monotonic_ns()
        in_window += after <= end
        took.append(after - before)
        before = after
    return took, in_window


def run(add, callers, begin, end):
    results, cpu = workers.at_once(lambda _: use(add, begin, end), callers)
    took = [each for own, _ in results for each in own]
    in_window = sum(count for _, count in results)
    return {"added": len(took), "in_window": in_window, "took_ns": took, "cpu_us": cpu}


def main(kind, socket, type_, callers):
    client = redis.Redis(unix_socket_path=socket)
    key = f"stats:{CONTEXT}:{type_}"
    add = {
        "INCRBY": lambda: client.incrby(key, 1),
        "update_stats": lambda: update_stats(client, CONTEXT, type_, 1),
    }[kind]
    client.ping()
    workers.say(f"{kind} by redis-py {redis.__version__}, Python {platform.python_version()}")
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "run":
            workers.say(json.dumps(run(add, int(callers), *map(int, numbers))))
        else:
            workers.say("flushed")


main(*sys.argv[1:])
