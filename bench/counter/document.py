"""docs/benchmarks/counters.md, from what `counter --json` measured; for ../document.py."""

from page import described, distinct, listed, losses, plot, targets

PAGE = "benchmarks/counters.md"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "tandem exactly once": ("#d55e00", "v", 1.2),
    "tandem rolling": ("#e69f00", "o", 2.4),
    "tandem buffered": ("#999999", "o", 2.4),
    "hiredis": ("#000000", "s", 1.2),
    "hiredis pipelined": ("#000000", "D", 1.2),
    "classic": ("#0072b2", "s", 1.2),
    "update_stats": ("#0072b2", "^", 1.2),
    "python3-redis": ("#009e73", "^", 1.2),
    "ioredis": ("#cc79a7", "x", 1.2),
    "redis++": ("#56b4e9", "D", 1.2),
}

# Those that do the same: the first is tandem's.
PEERS = (
    ("tandem", "hiredis", "python3-redis", "ioredis", "redis++"),
    ("tandem rolling", "classic", "update_stats"),
    ("tandem buffered", "hiredis pipelined"),
)


def with_callers(cells):
    return [{**cell, "callers": cell["processes"] * cell["threads"]} for cell in cells]


def figures(run, cells):
    return listed(
        cells,
        ("callers", "callers"),
        ("contender", "contender"),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("of a process", "per_process", 0),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        ("CPU µs", "cpu_us", 3),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
        ("transfers", "transfers", 2),
        ("lost", "lost"),
    )


def within_the_process(cells):
    return listed(
        cells,
        ("where", "place"),
        ("threads", "callers"),
        ("contender", "contender"),
        ("ns", "ns", 2),
        ("of linear", "of_linear", 2),
        ("slices", "slices"),
    )


def section(run):
    cells = with_callers(run["cells"])
    parts = [described(run), "### Targets", targets(run, "where")]
    for ours, *others in PEERS:
        peers = [cell for cell in cells if cell["contender"] in (ours, *others)]
        compared = [("adds in a window", "per_window", max)]
        if ours != "tandem buffered":
            compared += [("p50", "p50_us", min), ("p99", "p99_us", min)]
        compared.append(("processor time of the clients per add", "cpu_us", min))
        parts += losses(peers, "callers are", *compared, ours=ours)
    parts += ["### Within the process", within_the_process(run["local"])]
    for place in distinct(cell["place"] for cell in cells):
        parts += [
            f"### {place[0].upper()}{place[1:]}",
            figures(run, [cell for cell in cells if cell["place"] == place]),
        ]
    return "\n\n".join(parts)


def plots(run, folder):
    cells = with_callers(run["cells"])
    window = run["window_ms"]
    plot(folder / "counter_throughput.svg", f"adds in {window} ms (median window)", cells,
         [(lambda cell: cell["per_window"], "-")], LOOKS)
    plot(folder / "counter_latency.svg",
         "until an add is counted, µs: p50 (whole lines) and p99 (dotted)", cells,
         [(lambda cell: cell["p50_us"], "-"), (lambda cell: cell["p99_us"], ":")], LOOKS)
    plot(folder / "counter_cpu.svg", "processor time of the clients per add, µs", cells,
         [(lambda cell: cell["cpu_us"], "-")], LOOKS)
