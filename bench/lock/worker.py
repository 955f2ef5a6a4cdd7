"""A process that uses redis-py's Lock; worker.hpp says what it is told and what it answers.

    worker.py SOCKET NAME LEASE-IN-MS CALLERS
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


def use(lock, caller, begin, end, section, rest):
    out = []
    workers.sleep_until(begin)
    asked = time.monotonic_ns()
    while asked < end:
        lock.acquire()
        held = leaving = time.monotonic_ns()
        if section:
            time.sleep(section / 1e6)
            leaving = time.monotonic_ns()
        lock.release()
        released = time.monotonic_ns()
        out += (caller, asked - begin, held - begin, leaving - begin, released - begin)
        asked = released
        if rest:
            time.sleep(rest / 1e6)
            asked = time.monotonic_ns()
    return out


def run(locks, *when):
    lists, cpu = workers.at_once(lambda caller: use(locks[caller], caller, *when), len(locks))
    return {"acquisitions": [number for each in lists for number in each], "cpu_us": cpu}


def main(socket, name, lease, callers):
    client = redis.Redis(unix_socket_path=socket)
    locks = [client.lock(name, timeout=int(lease) / 1000) for _ in range(int(callers))]
    client.ping()
    version = f"redis-py {redis.__version__}, Python {platform.python_version()}"
    workers.say(f"{version}: Lock, a try each 100 ms (its default)")
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "run":
            workers.say(json.dumps(run(locks, *map(int, numbers))))
        elif verb == "hold":
            locks[0].acquire()
            workers.say(time.monotonic_ns())
        else:
            locks[0].release()
            workers.say("released")


main(*sys.argv[1:])
