"""What the documents of the benchmarks have in common: their tables, and how a plot looks."""

import math
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator


# ---- The tables ----


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return "\n".join([row(head), row(["---"] * len(head))] + [row(each) for each in rows])


def listed(cells, *columns):
    """A line for each cell.

    `columns`: of each its head; the figure's name, or what makes it of a cell; and, where it is to
    be rounded, to how many decimals.
    """

    def shown(cell, figure, digits=None):
        value = figure(cell) if callable(figure) else cell[figure]
        return str(value) if digits is None else number(value, digits)

    return table(
        [head for head, *_ in columns],
        [[shown(cell, *how) for _, *how in columns] for cell in cells],
    )


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def distinct(values):
    return list(dict.fromkeys(values))


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


def targets(run, where):
    """`where`: what the places of the targets are."""
    callers = sorted(distinct(each["callers"] for each in run["targets"]))
    rows = {}
    for each in run["targets"]:
        sign = "≥" if each["at_least"] else "≤"
        name = (each["what"], f"{sign} {each['limit']:g}", each["place"])
        text = f"{each['figure']:.3f}" if each["holds"] else f"**{each['figure']:.3f} missed**"
        rows.setdefault(name, {})[each["callers"]] = text
    head = ["of tandem", "target", where] + [str(count) for count in callers]
    return table(
        head,
        [
            list(name) + [figures.get(count, "") for count in callers]
            for name, figures in sorted(rows.items(), key=lambda item: item[0][0])
        ],
    )


def losses(cells, where, *figures, ours="tandem"):
    """The paragraphs on where another is before ours; `cells` and `where` as in `ahead`.

    `figures`: of each what it is called, its name, and min or max, which is the best.
    """
    parts = [
        f"### Where {ours} loses",
        f"The best contender in each line, and by what factor it is before {ours}; nothing where"
        f" {ours} is the best.",
    ]
    for words, figure, is_better in figures:
        parts += [f"By {words}:", ahead(cells, where, figure, is_better, ours)]
    return parts


def ahead(cells, where, figure, is_better, ours):
    """For each place and number of callers: who is best, and how far before ours.

    `cells`: each with its place, callers and contender. `where`: what the places are.
    """
    callers = distinct(cell["callers"] for cell in cells)
    rows = {}
    for cell in cells:
        key = (cell["place"], cell["callers"])
        if cell[figure] is not None:
            rows.setdefault(key, {})[cell["contender"]] = cell[figure]
    texts = {}
    for (place, count), values in rows.items():
        best = is_better(values, key=values.get)
        text = "" if best == ours else f"{best} {factor(values[best], values[ours])}"
        texts.setdefault(place, {})[count] = text
    head = [where] + [str(count) for count in callers]
    return table(
        head,
        [
            [place] + [figures.get(count, "") for count in callers]
            for place, figures in texts.items()
        ],
    )


def factor(one, other):
    return f"{max(one, other) / min(one, other):.2f}" if min(one, other) > 0 else "∞"


# ---- The plots ----


def plot(path, title, cells, lines, looks, ticks=(1,)):
    """A panel for each place in which there are cells with several numbers of callers.

    `cells`: each with its place, callers and contender. `lines`: what is drawn, and how: (value of
    a cell, line style). `looks`: (color, marker, width) of each contender. `ticks`: within each
    decade.
    """
    callers = distinct(cell["callers"] for cell in cells)
    counts = {}
    for cell in cells:
        counts.setdefault(cell["place"], set()).add(cell["callers"])
    places = [place for place in counts if len(counts[place]) > 1]
    figure, panels = side_by_side(len(places))
    for panel, place in zip(panels, places):
        for contender in distinct(cell["contender"] for cell in cells):
            color, marker, width = looks[contender]
            for value, style in lines:
                points = [
                    (cell["callers"], value(cell))
                    for cell in cells
                    if (cell["place"], cell["contender"]) == (place, contender)
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
        panel.set_title(place, fontsize=10)
        panel.set_xlabel("callers")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.xaxis.set_major_locator(FixedLocator(callers))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda count, _: f"{count:g}")
        panel.yaxis.set_major_locator(LogLocator(subs=ticks))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        panel.grid(True, which="major", color="#dddddd", linewidth=0.6)
    finish(figure, panels, path, title)


def side_by_side(count):
    """A figure of so many panels that have the same upright axis."""
    # Text stays text, and the same figures give the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tandem", "font.size": 9})
    return plt.subplots(1, count, figsize=(12, 3.6), sharey=True)


def finish(figure, panels, path, title):
    """Names the lines of the first panel below all of them, and writes the file."""
    figure.suptitle(title, fontsize=11)
    names = panels[0].get_legend_handles_labels()
    lines_of_names = math.ceil(len(names[1]) / 8)
    columns = math.ceil(len(names[1]) / lines_of_names)
    figure.legend(*names, loc="lower center", ncol=columns, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.07 * lines_of_names, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # The blanks at the ends of its lines mean nothing, and our lint refuses them.
    path.write_text(re.sub(r"[ \t]+$", "", path.read_text(), flags=re.MULTILINE))
