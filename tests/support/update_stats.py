#!/usr/bin/env python3
"""update_stats.py SOCKET CONTEXT TYPE NAME

Counts by the classic Python function, in turn by 1, 2 and 3, until the key `stop` exists. Keeps in the hash `acknowledged`,
field NAME, the sum of what was acknowledged to it.
"""
import datetime
import sys

import redis


def update_stats(conn, context, type, value):
    count = f'stats:{context}:{type}'
    start_key = count + ':start'
    with conn.pipeline(transaction=True) as pipe:
        while True:
            try:
                pipe.watch(start_key)
                now = datetime.datetime.utcnow()
                hour = now.replace(minute=0, second=0, microsecond=0).isoformat()
                start = pipe.get(start_key)
                pipe.multi()
                if start is None:
                    pipe.set(start_key, hour)
                elif start.decode() < hour:
                    pipe.rename(count, count + ':last')
                    pipe.rename(start_key, count + ':pstart')
                    pipe.set(start_key, hour)
                pipe.incrby(count, value)
                return pipe.execute()[-1]
            except redis.WatchError:
                continue


def main():
    socket, context, type, name = sys.argv[1:]
    conn = redis.Redis(unix_socket_path=socket)
    total = 0
    stop = False
    while not stop:
        for value in (1, 2, 3):
            update_stats(conn, context, type, value)
            total += value
        with conn.pipeline(transaction=False) as pipe:
            pipe.hset('acknowledged', name, total)
            pipe.exists('stop')
            stop = pipe.execute()[-1]


if __name__ == "__main__":
    main()
