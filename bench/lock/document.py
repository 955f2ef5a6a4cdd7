"""docs/benchmarks/locks.md, from what `lock --json` measured; for ../document.py."""

from page import ahead, described, distinct, number, plot, table, targets

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
    head = ["contender", "p50 µs", "p99 µs", f"in {run['window_ms']} ms", "CPU µs", "commands"]
    head += ["in scripts"]
    return table(
        head,
        [
            [
                cell["contender"],
                number(cell["p50_us"], 2),
                number(cell["p99_us"], 2),
                number(cell["per_window"], 0),
                number(cell["cpu_us"], 2),
                number(cell["commands"], 2),
                number(cell["commands_in_scripts"], 2),
            ]
            for cell in cells
        ],
    )


def contended(run, cells):
    head = ["callers", "contender", f"in {run['window_ms']} ms", "wait p50 µs", "wait p99 µs", "typical µs"]
    head += ["handed over", "hand-off µs", "round trips", "fairness", "commands", "in scripts"]
    head += ["CPU µs", "idle per s"]
    return table(
        head,
        [
            [
                str(cell["callers"]),
                cell["contender"],
                number(cell["per_window"], 0),
                number(cell["wait_p50_us"], 1),
                number(cell["wait_p99_us"], 1),
                number(cell["typical_wait_us"], 1),
                number(cell["handed_over"], 2),
                number(cell["hand_off_us"], 1),
                number(cell["hand_off_in_round_trips"], 1),
                number(cell["fairness"], 2),
                number(cell["commands"], 2),
                number(cell["commands_in_scripts"], 2),
                number(cell["cpu_us"], 1),
                number(cell["idle_commands_per_second"], 2),
            ]
            for cell in cells
        ],
    )


def crashes(cells):
    head = ["contender", "lease ms", "kills", "p50 ms", "worst ms", "pidfd p50 ms"]
    return table(
        head,
        [
            [
                cell["contender"],
                number(cell["lease_ms"], 0),
                str(cell["kills"]),
                number(cell["p50_ms"], 2),
                number(cell["worst_ms"], 2),
                number(cell["pidfd_p50_ms"], 3),
            ]
            for cell in cells
        ],
    )


def at(place, cells):
    return [cell for cell in cells if cell["place"] == place]


def section(run):
    cells = with_callers(run["contended"])
    parts = [described(run), "### Targets", targets(run, "where")]
    parts += [
        "### Where tandem loses",
        "The best contender in each line, and by what factor it is before tandem; nothing where"
        " tandem is the best. By acquisitions in a window:",
        ahead(cells, "callers are", "per_window", max),
        "By the typical wait:",
        ahead(cells, "callers are", "typical_wait_us", min),
        "By the p99 of all waits:",
        ahead(cells, "callers are", "wait_p99_us", min),
        "By processor time of the clients per acquisition:",
        ahead(cells, "callers are", "cpu_us", min),
    ]
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
