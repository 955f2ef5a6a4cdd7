#!/usr/bin/env python3
"""use_lock.py SOCKET NAME LEASE

Uses redis-py's Lock as it is told on its standard input, line by line, and answers each of them with one line: what the
call returned, or the type of what it raised. LEASE: seconds, or "none", which is redis-py's default.

    try             acquire(blocking=False)
    wait SECONDS    acquire(blocking_timeout=SECONDS)
    extend SECONDS
    owned
    release
    compete         takes the lock again and again until the key `stop` exists, adds one to the key `sum` in two steps
                    each time, and counts its turns in the hash `turns`. Answers with two numbers for each turn,
                    nanoseconds of the monotonic clock: when it held the lock, and when it gave it back
"""
import os
import sys
import time

import redis


def compete(conn, lock):
    moments = []
    while not conn.exists('stop'):
        if not lock.acquire(blocking_timeout=30):
            return 'waited for nothing'
        held = time.monotonic_ns()
        seen = int(conn.get('sum') or 0)
        time.sleep(0.001)  # in which a second holder's one gets lost
        conn.set('sum', seen + 1)
        moments += [held, time.monotonic_ns()]
        lock.release()
        conn.hincrby('turns', os.getpid(), 1)
        time.sleep(0.001)  # or who released would be the next, before anybody has heard of it
    return ' '.join(map(str, moments))


def main():
    socket, name, lease = sys.argv[1:]
    conn = redis.Redis(unix_socket_path=socket)
    # Asks sooner than its default, 100 ms: within the time for which tandem leaves a key free in the tests.
    lock = conn.lock(name, timeout=None if lease == 'none' else float(lease), sleep=0.005)
    verbs = {
        'try': lambda: lock.acquire(blocking=False),
        'wait': lambda seconds: lock.acquire(blocking_timeout=float(seconds)),
        'extend': lambda seconds: lock.extend(float(seconds), replace_ttl=True),
        'owned': lock.owned,
        'release': lock.release,
        'compete': lambda: compete(conn, lock),
    }
    print('ready', flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            answer = verbs[verb](*words)
        except redis.RedisError as error:
            answer = type(error).__name__
        print(answer, flush=True)


main()
