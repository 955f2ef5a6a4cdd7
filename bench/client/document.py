"""Writes what `client --json` measured into docs/benchmarks.md and the plots beside it.

    document.py JSON DOCS        DOCS: the folder docs/

The text around the tables is written by hand; what lies between the markers is written here.
"""

import json
import pathlib
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

BEGIN = "<!-- written by ./dev bench client --document: begin -->"
END = "<!-- written by ./dev bench client --document: end -->"

# Told apart also by those who see no red or no green, and in print by their markers.
LOOKS = {
    "tandem": ("#d55e00", "o", 2.4),
    "hiredis": ("#000000", "s", 1.2),
    "mutex": ("#56b4e9", "v", 1.2),
    "redis++": ("#0072b2", "D", 1.2),
    "python3-redis": ("#009e73", "^", 1.2),
    "ioredis": ("#cc79a7", "x", 1.2),
}


# ---- The tables ----


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return "\n".join([row(head), row(["---"] * len(head))] + [row(each) for each in rows])


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def described(run):
    machine = run["machine"]
    lines = [
        f"{machine['date']} UTC, {run['windows']} windows of {run['window_ms']} ms for each line",
        f"{machine['processor']}, {machine['cores']} cores, which client and server share;"
        f" {machine['kernel']}",
        f"load average just before: {machine['load_average']:.2f}",
        machine["server"],
    ]
    lines += [f"{each['name']}: {each['version']}" for each in run["contenders"]]
    lines += [f"absent: {why}" for why in run["absent"]]
    return "\n".join(f"- {line}" for line in lines)


def targets(run, callers):
    rows = {}
    for each in run["targets"]:
        sign = "≥" if each["at_least"] else "≤"
        name = (each["what"], f"{sign} {each['limit']:g}", each["transport"])
        text = f"{each['figure']:.3f}" if each["holds"] else f"**{each['figure']:.3f} missed**"
        rows.setdefault(name, {})[each["callers"]] = text
    head = ["of tandem", "target", "transport"] + [str(count) for count in callers]
    return table(
        head,
        [
            list(name) + [figures.get(count, "") for count in callers]
            for name, figures in sorted(rows.items(), key=lambda item: item[0][0])
        ],
    )


def ahead(run, callers, figure, is_better):
    """For each transport and number of callers: who is best, and how far before tandem."""
    rows = {}
    for cell in run["cells"]:
        key = (cell["transport"], cell["callers"])
        rows.setdefault(key, {})[cell["contender"]] = cell[figure]
    texts = {}
    for (transport, count), values in rows.items():
        best = is_better(values, key=values.get)
        factor = max(values[best], values["tandem"]) / min(values[best], values["tandem"])
        text = "" if best == "tandem" else f"{best} {factor:.2f}"
        texts.setdefault(transport, {})[count] = text
    head = ["transport"] + [str(count) for count in callers]
    return table(
        head,
        [
            [transport] + [figures.get(count, "") for count in callers]
            for transport, figures in texts.items()
        ],
    )


def calls(cell):
    return None if cell["transfers"] is None else cell["transfers"] + cell["waits"]


def figures(run, transport):
    head = ["callers", "contender", "p50 µs", "p99 µs", f"in {run['window_ms']} ms"]
    head += ["CPU µs", "calls", "waits", "switches"]
    rows = []
    for cell in run["cells"]:
        if cell["transport"] != transport:
            continue
        rows.append(
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
        )
    return table(head, rows)


def distinct(values):
    return list(dict.fromkeys(values))


def section(run):
    callers = distinct(cell["callers"] for cell in run["cells"])
    parts = [described(run), "### Targets", targets(run, callers)]
    parts += [
        "### Where tandem loses",
        "The best contender in each line, and by what factor it is before tandem; nothing where"
        " tandem is the best. By commands in a window:",
        ahead(run, callers, "per_window", max),
        "By p50:",
        ahead(run, callers, "p50_us", min),
        "By processor time per command:",
        ahead(run, callers, "cpu_us", min),
    ]
    for transport in distinct(cell["transport"] for cell in run["cells"]):
        parts += [f"### {transport}", figures(run, transport)]
    return "\n\n".join(parts)


def rewrite(document, text):
    before, _, rest = document.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        sys.exit("docs/benchmarks.md has lost its markers")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


# ---- The plots ----


def plot(run, path, title, lines, ticks=(1,)):
    """A panel for each transport that was measured with several numbers of callers.

    `lines`: what is drawn, and how: (value of a cell, line style). `ticks`: within each decade.
    """
    callers = distinct(cell["callers"] for cell in run["cells"])
    transports = distinct(cell["transport"] for cell in run["cells"] if cell["callers"] > 1)
    figure, panels = plt.subplots(1, len(transports), figsize=(12, 3.6), sharey=True)
    for panel, transport in zip(panels, transports):
        for contender in distinct(cell["contender"] for cell in run["cells"]):
            color, marker, width = LOOKS[contender]
            for value, style in lines:
                points = [
                    (cell["callers"], value(cell))
                    for cell in run["cells"]
                    if (cell["transport"], cell["contender"]) == (transport, contender)
                    and value(cell) is not None
                ]
                panel.plot(
                    *zip(*points) if points else ([], []),
                    style,
                    color=color,
                    marker=marker,
                    markersize=4,
                    linewidth=width,
                    label=contender if style == "-" else None,
                )
        panel.set_title(transport, fontsize=10)
        panel.set_xlabel("callers")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.xaxis.set_major_locator(FixedLocator(callers))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda count, _: f"{count:g}")
        panel.yaxis.set_major_locator(LogLocator(subs=ticks))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        panel.grid(True, which="major", color="#dddddd", linewidth=0.6)
    figure.suptitle(title, fontsize=11)
    names = panels[0].get_legend_handles_labels()
    figure.legend(*names, loc="lower center", ncol=len(names[1]), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # The blanks at the ends of its lines mean nothing, and our lint refuses them.
    path.write_text(re.sub(r"[ \t]+$", "", path.read_text(), flags=re.MULTILINE))


def plots(run, folder):
    # Text stays text, and the same figures give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tandem", "font.size": 9})
    folder.mkdir(exist_ok=True)
    window = run["window_ms"]
    plot(run, folder / "throughput.svg", f"commands in {window} ms (median window)",
         [(lambda cell: cell["per_window"], "-")])
    plot(run, folder / "latency.svg", "latency, µs: p50 (whole lines) and p99 (dotted)",
         [(lambda cell: cell["p50_us"], "-"), (lambda cell: cell["p99_us"], ":")])
    plot(run, folder / "cpu.svg", "processor time of the client per command, µs",
         [(lambda cell: cell["cpu_us"], "-")], ticks=(1, 2, 5))
    plot(run, folder / "system_calls.svg", "system calls of the client per command",
         [(calls, "-")], ticks=(1, 2, 5))


def main(source, docs):
    run = json.loads(pathlib.Path(source).read_text())
    docs = pathlib.Path(docs)
    document = docs / "benchmarks.md"
    document.write_text(rewrite(document.read_text(), section(run)))
    plots(run, docs / "benchmarks")


main(*sys.argv[1:])
