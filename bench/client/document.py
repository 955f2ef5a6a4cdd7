"""docs/benchmarks.md, from what `client --json` measured; for ../document.py."""

from page import described, distinct, listed, losses, plot, targets

PAGE = "benchmarks.md"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "hiredis": ("#000000", "s", 1.2),
    "mutex": ("#56b4e9", "v", 1.2),
    "redis++": ("#0072b2", "D", 1.2),
    "python3-redis": ("#009e73", "^", 1.2),
    "ioredis": ("#cc79a7", "x", 1.2),
}


def calls(cell):
    return None if cell["transfers"] is None else cell["transfers"] + cell["waits"]


def figures(run, cells):
    return listed(
        cells,
        ("callers", "callers"),
        ("contender", "contender"),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("CPU µs", "cpu_us", 1),
        ("calls", calls, 2),
        ("waits", "waits", 2),
        ("switches", "switches", 2),
    )


def placed(run):
    return [{**cell, "place": cell["transport"]} for cell in run["cells"]]


def section(run):
    cells = placed(run)
    parts = [described(run), "### Targets", targets(run, "transport")]
    parts += losses(
        cells,
        "transport",
        ("commands in a window", "per_window", max),
        ("p50", "p50_us", min),
        ("processor time per command", "cpu_us", min),
    )
    for place in distinct(cell["place"] for cell in cells):
        parts += [f"### {place}", figures(run, [cell for cell in cells if cell["place"] == place])]
    return "\n\n".join(parts)


def plots(run, folder):
    cells = placed(run)
    window = run["window_ms"]
    plot(folder / "throughput.svg", f"commands in {window} ms (median window)", cells,
         [(lambda cell: cell["per_window"], "-")], LOOKS)
    plot(folder / "latency.svg", "latency, µs: p50 (whole lines) and p99 (dotted)", cells,
         [(lambda cell: cell["p50_us"], "-"), (lambda cell: cell["p99_us"], ":")], LOOKS)
    plot(folder / "cpu.svg", "processor time of the client per command, µs", cells,
         [(lambda cell: cell["cpu_us"], "-")], LOOKS, ticks=(1, 2, 5))
    plot(folder / "system_calls.svg", "system calls of the client per command", cells,
         [(calls, "-")], LOOKS, ticks=(1, 2, 5))
