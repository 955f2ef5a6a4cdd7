"""Slices of redis-py, for program.hpp: one client, a thread for each caller.

    slices.py URL CALLERS [AUTHORITY]
"""

import json
import platform
import queue
import resource
import sys
import threading
import time

try:
    import redis
except ImportError as missing:
    sys.exit(print(f"sorry: {missing}", flush=True))

VALUE = b"x" * 64


def connect(url, authority=None):
    trust = {"ssl_ca_certs": authority} if authority else {}
    return redis.Redis.from_url(url, **trust)


def live(client, key, ends, results):
    """Says SET and GET in turn until each of the ends that come, in perf_counter_ns."""
    reading = False
    while True:
        end = ends.get()
        latencies = []
        in_window = 0
        begin = time.perf_counter_ns()
        while begin < end:
            if reading:
                client.get(key)
            else:
                client.set(key, VALUE)
            reading = not reading
            now = time.perf_counter_ns()
            latencies.append((now - begin) / 1000)
            in_window += now <= end
            begin = now
        results.put((latencies, in_window))


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6, usage.ru_nvcsw + usage.ru_nivcsw


def run(window, callers, results):
    """A slice of so many seconds."""
    cpu, switches = used()
    end = time.perf_counter_ns() + int(window * 1e9)
    for ends in callers:
        ends.put(end)
    latencies = []
    in_window = 0
    for _ in callers:
        own, count = results.get()
        latencies += own
        in_window += count
    cpu_after, switches_after = used()
    return {
        "latencies_us": latencies,
        "in_window": in_window,
        "seconds": window,
        "cpu_us": cpu_after - cpu,
        "switches": switches_after - switches,
    }


def main(url, callers, *authority):
    client = connect(url, *authority)
    client.ping()
    results = queue.SimpleQueue()
    threads = []
    for i in range(int(callers)):
        ends = queue.SimpleQueue()
        words = (client, f"key:{i}", ends, results)
        threading.Thread(target=live, args=words, daemon=True).start()
        threads.append(ends)
    print(f"redis-py {redis.__version__}, Python {platform.python_version()}", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(int(line) / 1000, threads, results)), flush=True)


main(*sys.argv[1:])
