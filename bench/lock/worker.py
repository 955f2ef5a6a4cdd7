"""A process that uses redis-py's Lock; worker.hpp says what it is told and what it answers.

    worker.py SOCKET NAME LEASE-IN-MS CALLERS
"""

import json
import platform
import resource
import sys
import threading
import time

try:
    import redis
except ImportError as missing:
    sys.exit(print(f"sorry: {missing}", flush=True))


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def use(lock, caller, begin, end, section, rest, out):
    time.sleep(max(0, begin - time.monotonic_ns()) / 1e9)
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


def run(locks, begin, end, section, rest):
    before = used()
    lists = [[] for _ in locks]
    threads = [
        threading.Thread(target=use, args=(lock, i, begin, end, section, rest, lists[i]))
        for i, lock in enumerate(locks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu = used() - before
    return {"acquisitions": [number for each in lists for number in each], "cpu_us": cpu}


def main(socket, name, lease, callers):
    client = redis.Redis(unix_socket_path=socket)
    locks = [client.lock(name, timeout=int(lease) / 1000) for _ in range(int(callers))]
    client.ping()
    version = f"redis-py {redis.__version__}, Python {platform.python_version()}"
    print(f"{version}: Lock, a try each 100 ms (its default)", flush=True)
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "run":
            print(json.dumps(run(locks, *map(int, numbers))), flush=True)
        elif verb == "hold":
            locks[0].acquire()
            print(time.monotonic_ns(), flush=True)
        else:
            locks[0].release()
            print("released", flush=True)


main(*sys.argv[1:])
