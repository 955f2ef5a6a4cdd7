"""What the workers in Python have in common; workers.hpp says what a worker is."""

import resource
import sys
import threading
import time


def say(line):
    print(line, flush=True)


def imported(name):
    """The module of that name, or the end of this worker."""
    try:
        return __import__(name)
    except ImportError as missing:
        sys.exit(say(f"sorry: {missing}"))


def sleep_until(moment):
    time.sleep(max(0, moment - time.monotonic_ns()) / 1e9)


def at_once(work, callers):
    """Calls work(0), work(1), ... at once, each in a thread of its own.

    Returns what they returned, and the microseconds of processor time that it took.
    """
    results = [None] * callers

    def live(number):
        results[number] = work(number)

    before = used()
    threads = [threading.Thread(target=live, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, used() - before


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6
