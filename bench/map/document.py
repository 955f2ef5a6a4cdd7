"""docs/benchmarks/maps.md, from what `map --json` measured; for ../document.py."""

from page import described, distinct, finish, listed, losses, plot, side_by_side, targets

PAGE = "benchmarks/maps.md"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "tandem cached": ("#e69f00", "v", 1.2),
    "hiredis": ("#000000", "s", 1.2),
    "python3-redis": ("#009e73", "^", 1.2),
    "ioredis": ("#cc79a7", "x", 1.2),
    "redis++": ("#56b4e9", "D", 1.2),
}

NEWS_LOOKS = {
    "CachedMap::set": ("#d55e00", "-", 2.4),
    "HSET": ("#e69f00", "-", 1.6),
    "HSET, polled by HGET": ("#000000", ":", 1.2),
    "HSET and PUBLISH": ("#0072b2", "--", 1.2),
}


def with_callers(cells):
    return [{**cell, "callers": cell["processes"] * cell["threads"]} for cell in cells]


def doing(operation, cells):
    return [cell for cell in cells if cell["operation"] == operation]


def figures(run, cells):
    return listed(
        cells,
        ("callers", "callers"),
        ("call", "operation"),
        ("contender", "contender"),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        ("CPU µs", "cpu_us", 3),
        ("commands", "commands", 2),
        ("in scripts", "commands_in_scripts", 2),
        ("transfers", "transfers", 2),
        ("lost", lambda cell: cell.get("lost", "-")),
    )


def within_the_process(cells):
    return listed(
        cells,
        ("where", "place"),
        ("threads", "callers"),
        ("contender", "contender"),
        ("ns", "ns", 2),
        ("slices", "slices"),
    )


def mixed(run, cells):
    return listed(
        cells,
        ("processes", "callers"),
        ("changed by", "contender"),
        (f"in {run['window_ms']} ms", "per_window", 0),
        ("CPU µs", "cpu_us", 3),
        ("changes", "changes", 4),
        ("hits", "hits", 4),
    )


def news(cells):
    return listed(
        cells,
        ("where", "place"),
        ("changed by", "contender"),
        ("p50 µs", "p50_us", 1),
        ("p99 µs", "p99_us", 1),
        ("a round trip µs", "round_trip_us", 1),
        ("round trips", "round_trips", 2),
        ("returned µs", "returned_p50_us", 1),
        ("changes", "changes"),
        ("unseen", "unseen"),
    )


def section(run):
    cells = with_callers(run["cells"])
    parts = [described(run), "### Targets", targets(run, "where")]
    for operation in ("get", "set", "update"):
        peers = [cell for cell in doing(operation, cells) if cell["contender"] != "tandem cached"]
        head, *rest = losses(
            peers,
            "callers are",
            ("calls in a window", "per_window", max),
            ("p50", "p50_us", min),
            ("p99", "p99_us", min),
            ("processor time of the clients per call", "cpu_us", min),
        )
        parts += [f"{head} with `SharedMap::{operation}`", *rest]
    parts += ["### Within the process", within_the_process(run["local"])]
    parts += ["### Reads that ask nobody, and changes", mixed(run, run["mixed"])]
    parts += ["### Until another process reads it", news(run["news"])]
    for place in distinct(cell["place"] for cell in cells):
        parts += [
            f"### {place[0].upper()}{place[1:]}",
            figures(run, [cell for cell in cells if cell["place"] == place]),
        ]
    return "\n\n".join(parts)


def of(operation, figure):
    return lambda cell: cell[figure] if cell["operation"] == operation else None


def spread(path, points):
    """How many of the changes were read by then, for each way in which they were made."""
    places = distinct(point["place"] for point in points)
    figure, panels = side_by_side(len(places))
    for panel, place in zip(panels, places):
        for contender, (color, style, width) in NEWS_LOOKS.items():
            own = [
                (point["since_us"], 100 * point["part"])
                for point in points
                if (point["place"], point["contender"]) == (place, contender)
            ]
            panel.plot(*zip(*own), style, color=color, linewidth=width, label=contender)
        panel.set_title(place, fontsize=10)
        panel.set_xlabel("µs since the change was sent")
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        panel.grid(True, which="major", color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel("% of the changes")
    finish(figure, panels, path, "changes that another process has read by then")


def plots(run, folder):
    cells = with_callers(run["cells"])
    window = run["window_ms"]
    both = "get (whole lines) and set (dotted)"
    for name, title, figure in (
        ("throughput", f"calls in {window} ms (median window): {both}", "per_window"),
        ("latency", f"p50 of a call, µs: {both}", "p50_us"),
        ("cpu", f"processor time of the clients per call, µs: {both}", "cpu_us"),
    ):
        plot(folder / f"map_{name}.svg", title, cells,
             [(of("get", figure), "-"), (of("set", figure), ":")], LOOKS)
    spread(folder / "map_news.svg", run["spread"])
