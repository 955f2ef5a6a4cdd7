"""docs/benchmarks/locks.md, from what `lock --json` measured; for ../document.py."""

from page import described, distinct, listed, losses, plot, targets

PAGE = "benchmarks/locks.md"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "classic": ("#000000", "s", 1.2),
    "RedMutex": ("#0072b2", "D", 1.2),
    "python3-redis": ("#009e73", "^", 1.2),
    "redlock": ("#cc79a7", "x", 1.2),
}


def with_callers(cells):
    return [{**cell, "callers": cell["processes"] * cell["threads"]} for cell in cells]


def uncontended(run, cells):
    return listed(
        cells,
        ("contender", "contender"),
        ("p50 µs", "p50_us", 2),
        ("p99 µs", "p99_us", 2),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("CPU µs", "cpu_us", 2),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
    )


def contended(run, cells):
    return listed(
        cells,
        ("callers", "callers"),
        ("contender", "contender"),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("wait p50 µs", "wait_p50_us", 1),
        ("wait p99 µs", "wait_p99_us", 1),
        ("typical µs", "typical_wait_us", 1),
        ("handed over", "handed_over", 2),
        ("hand-off µs", "hand_off_us", 1),
        ("round trips", "hand_off_in_round_trips", 1),
        ("fairness", "fairness", 2),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
        ("CPU µs", "cpu_us", 1),
        ("idle per s", "idle_commands_per_second", 2),
    )


def crashes(cells):
    return listed(
        cells,
        ("contender", "contender"),
        ("lease ms", "lease_ms", 0),
        ("kills", "kills"),
        ("p50 ms", "p50_ms", 2),
        ("worst ms", "worst_ms", 2),
        ("pidfd p50 ms", "pidfd_p50_ms", 3),
    )


def at(place, cells):
    return [cell for cell in cells if cell["place"] == place]


def section(run):
    cells = with_callers(run["contended"])
    parts = [described(run), "### Targets", targets(run, "where")]
    parts += losses(
        cells,
        "callers are",
        ("acquisitions in a window", "per_window", max),
        ("the typical wait", "typical_wait_us", min),
        ("the p99 of all waits", "wait_p99_us", min),
        ("processor time of the clients per acquisition", "cpu_us", min),
    )
    for place in distinct(cell["place"] for cell in run["uncontended"]):
        parts += [
            f"### Nobody else wants it, {place}",
            uncontended(run, at(place, run["uncontended"])),
        ]
    for place in distinct(cell["place"] for cell in cells):
        trips = {cell["callers"]: cell["round_trip_us"] for cell in at(place, cells)}
        said = ", ".join(f"{trip:.1f} µs with {count}" for count, trip in trips.items())
        parts += [
            f"### {place[0].upper()}{place[1:]}",
            f"A bare round trip: {said} callers.",
            contended(run, at(place, cells)),
        ]
    parts += ["### The holder is killed", crashes(run["crashes"])]
    return "\n\n".join(parts)


def plots(run, folder):
    cells = with_callers(run["contended"])
    window = run["window_ms"]
    plot(folder / "lock_throughput.svg", f"acquisitions in {window} ms (median window)", cells,
         [(lambda cell: cell["per_window"], "-")], LOOKS, ticks=(1, 2, 5))
    plot(folder / "lock_wait.svg", "wait for the lock, µs: the typical one (whole lines),"
         " p99 of all waits (dotted)", cells,
         [(lambda cell: cell["typical_wait_us"], "-"), (lambda cell: cell["wait_p99_us"], ":")],
         LOOKS)
    plot(folder / "lock_commands.svg", "commands sent by clients per acquisition", cells,
         [(lambda cell: cell["commands"], "-")], LOOKS, ticks=(1, 2, 5))
    plot(folder / "lock_cpu.svg", "processor time of the clients per acquisition, µs", cells,
         [(lambda cell: cell["cpu_us"], "-")], LOOKS, ticks=(1, 2, 5))
