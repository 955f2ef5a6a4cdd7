"""docs/benchmarks/queues.md, from what `queue --json` measured; for ../document.py."""

from page import described, distinct, finish, listed, losses, plot, side_by_side, targets

PAGE = "benchmarks/queues.md"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "hiredis": ("#000000", "s", 1.2),
    "bullmq": ("#cc79a7", "x", 1.2),
    "python3-rq": ("#009e73", "^", 1.2),
}


def doing(cells, verb, at_once):
    return [cell for cell in cells if (cell["verb"], cell["at_once"]) == (verb, at_once)]


def figures(run, cells):
    return listed(
        cells,
        ("processes", "callers"),
        ("call", lambda cell: cell["verb"]),
        ("at once", "at_once"),
        ("contender", "contender"),
        (f"jobs in {run['window_ms']} ms", "per_window", 0),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        ("CPU µs", "cpu_us", 2),
        ("server's µs", "server_cpu_us", 2),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
        ("lost", "lost"),
    )


def flow(cells):
    return listed(
        cells,
        ("where", "place"),
        ("workers", "callers"),
        ("contender", "contender"),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        ("a round trip µs", "round_trip_us", 1),
        ("round trips", "round_trips", 2),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
        ("jobs", "jobs"),
    )


def idle(cells):
    return listed(
        cells,
        ("workers", "callers"),
        ("contender", "contender"),
        ("commands per second", "commands_per_second", 3),
    )


def load(cells):
    known = [each["together_us"] for each in cells if each["contender"] == "redis-benchmark"]
    return listed(
        cells,
        ("contender", "contender"),
        ("at once", "at_once"),
        ("jobs", "jobs", 0),
        ("clients µs", "clients_us", 2),
        ("server µs", "server_us", 2),
        ("together µs", "together_us", 2),
        ("of redis-benchmark", lambda cell: cell["together_us"] / known[0] if known else None, 2),
    )


def section(run):
    cells = run["cells"]
    parts = [described(run), "### Targets", targets(run, "where")]
    for verb, at_once in (("push", 1), ("work", 1), ("push", 100), ("work", 100)):
        head, *rest = losses(
            doing(cells, verb, at_once),
            "processes are",
            ("jobs in a window", "per_window", max),
            ("processor time of the clients per job", "cpu_us", min),
            ("processor time of the server per job", "server_cpu_us", min),
        )
        parts += [f"{head}: {verb}, {at_once} at once", *rest]
    parts += ["### Processor time of a load", load(run["load"])]
    parts += ["### Until a worker has the job", flow(run["flow"])]
    parts += ["### Idle workers", idle(run["idle"])]
    for place in distinct(cell["place"] for cell in cells):
        parts += [
            f"### {place[0].upper()}{place[1:]}",
            figures(run, [cell for cell in cells if cell["place"] == place]),
        ]
    return "\n\n".join(parts)


def of(verb, figure):
    return lambda cell: cell[figure] if cell["verb"] == verb else None


def by_how_many(cells):
    """With the size of a batch as the place, so that each has a panel."""
    return [
        {**cell, "place": f"{cell['at_once']} at once"}
        for cell in cells
        if cell["place"] == "any cores"
    ]


def spread(path, points):
    """How many of the jobs a worker had by then."""
    lines = distinct((point["place"], point["callers"]) for point in points)
    figure, panels = side_by_side(len(lines))
    for panel, (place, callers) in zip(panels, lines):
        for contender, (color, _, width) in LOOKS.items():
            own = [
                (point["since_us"], 100 * point["part"])
                for point in points
                if (point["place"], point["callers"], point["contender"])
                == (place, callers, contender)
            ]
            panel.plot(*zip(*own) if own else ([], []), color=color, linewidth=width,
                       label=contender)
        panel.set_title(f"{place}, {callers} waiting", fontsize=10)
        panel.set_xlabel("µs since the push")
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        panel.grid(True, which="major", color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel("% of the jobs")
    finish(figure, panels, path, "jobs that a waiting worker has by then")


def plots(run, folder):
    cells = by_how_many(run["cells"])
    window = run["window_ms"]
    both = "push (whole lines) and work (dotted)"
    for name, title, figure in (
        ("throughput", f"jobs in {window} ms (median window): {both}", "per_window"),
        ("cpu", f"processor time of the clients per job, µs: {both}", "cpu_us"),
        ("server", f"processor time of the server per job, µs: {both}", "server_cpu_us"),
    ):
        plot(folder / f"queue_{name}.svg", title, cells,
             [(of("push", figure), "-"), (of("work", figure), ":")], LOOKS)
    spread(folder / "queue_wait.svg", run["spread"])
