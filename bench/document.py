"""Writes what a benchmark measured with --json into its page of docs/ and the plots beside it.

    document.py FAMILY JSON DOCS        DOCS: the folder docs/

The text around the tables is written by hand; what lies between the markers is written here.
FAMILY/document.py says what: PAGE, its path in DOCS, section(run) and plots(run, folder).
"""

import importlib.util
import json
import pathlib
import sys

sys.dont_write_bytecode = True  # beside the sources


def rewrite(document, family, text):
    begin, end = (
        f"<!-- written by ./dev bench {family} --document: {word} -->" for word in ("begin", "end")
    )
    before, _, rest = document.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        sys.exit("the page has lost its markers")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def writer_of(family):
    """By its path: a family may have the name of a module of Python's."""
    path = pathlib.Path(__file__).resolve().parent / family / "document.py"
    spec = importlib.util.spec_from_file_location(f"document_of_{family}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(family, source, docs):
    run = json.loads(pathlib.Path(source).read_text())
    writer = writer_of(family)
    page = pathlib.Path(docs) / writer.PAGE
    page.write_text(rewrite(page.read_text(), family, writer.section(run)))
    folder = pathlib.Path(docs) / "benchmarks"
    folder.mkdir(exist_ok=True)
    writer.plots(run, folder)
    print(f"written: {page} and the plots in {folder}")


main(*sys.argv[1:])
