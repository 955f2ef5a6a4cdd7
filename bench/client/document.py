"""docs/benchmarks.md, from what `client --json` measured; for ../document.py."""

from page import ahead, described, distinct, number, plot, table, targets

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
    head = ["callers", "contender", "p50 µs", "p99 µs", f"in {run['window_ms']} ms"]
    head += ["CPU µs", "calls", "waits", "switches"]
    return table(
        head,
        [
            [
                str(cell["callers"]),
                cell["contender"],
                number(cell["p50_us"], 1),
                number(cell["p99_us"], 1),
                number(cell["per_window"], 0),
                number(cell["cpu_us"], 1),
                number(calls(cell), 2),
                number(cell["waits"], 2),
                number(cell["switches"], 2),
            ]
            for cell in cells
        ],
    )


def placed(run):
    return [{**cell, "place": cell["transport"]} for cell in run["cells"]]


def section(run):
    cells = placed(run)
    parts = [described(run), "### Targets", targets(run, "transport")]
    parts += [
        "### Where tandem loses",
        "The best contender in each line, and by what factor it is before tandem; nothing where"
        " tandem is the best. By commands in a window:",
        ahead(cells, "transport", "per_window", max),
        "By p50:",
        ahead(cells, "transport", "p50_us", min),
        "By processor time per command:",
        ahead(cells, "transport", "cpu_us", min),
    ]
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
