"""A report as one HTML file that needs nothing else: styles inline, figures within, no script, nothing fetched.

Its first screen is the verdict, the number that it rests on, and the figure that shows it; how it came about is last.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Document, Facts, Layouts, Line, Table
from fedprivacy.reporting.figures.drawn import DARK, Drawn
from fedprivacy.reporting.page import page
from fedprivacy.reporting.text import MISSING

Figures = Mapping[str, bytes | Drawn]
"""Name -> a PNG, or a drawing that follows the page's colours."""

PNG = b"\x89PNG\r\n\x1a\n"
CAPTIONS: Mapping[str, str] = {
    "roc": "ROC on log axes: members recognised against non-members called members, with bands and the chance line.",
    "inversion": "Originals, what the attack chosen for each message, without the truth, made of it, and guesses: the "
    "best from public records, and the same attack fed another client's message. The first ones in order, none chosen.",
    "claim": "Claimed epsilon from above, measured lower bound from below, and the ceiling of the audit.",
    "frontier": "Accuracy and leakage against epsilon, with intervals.",
    "leakage-over-accuracy": "What each seat learns, over what the models learn, with intervals.",
    "leakage": "AUC with interval by adversary and statistic; the grey band is what no leakage reads.",
}
"""Known figures; those before the last stand on the first screen."""

LEAD = tuple(CAPTIONS)[:-1]


@dataclass(frozen=True)
class _Figure:
    """``svg``: inline, or empty where ``source`` holds a PNG; ``words``: its text alternative."""

    name: str
    caption: str
    words: str
    svg: str = ""
    source: str = ""


def to_html(result: RunResult, figures: Figures) -> str:
    """The report of ``result`` with ``figures`` (name to PNG or drawing) embedded; every text is escaped.

    Known names (roc, leakage, frontier, claim, ...) have captions, any other name is its own. Raises ValueError for
    bytes that are no PNG.
    """
    return document_to_html(page(result), figures)


def document_to_html(document: Document, figures: Figures) -> str:
    """Any document; its banner, where it has one, is the first screen, beside the figures that show it."""
    environment = Environment(
        loader=PackageLoader("fedprivacy.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests.update({"line_block": _is_line, "facts_block": _is_facts})
    environment.filters.update({"tables": _tables, "parted": _parted})
    drawn = [_figure(name, figure) for name, figure in figures.items()]
    lead = [figure for figure in drawn if _known(figure.name) in LEAD]
    return environment.get_template("report.html.j2").render(
        document=document,
        dark=DARK,
        lead=lead,
        figures=[figure for figure in drawn if figure not in lead],
        beside=int(len(lead) == 1 and all(map(_is_line, document.sections[0].blocks))),
        first=[section for section in document.sections if not section.last],
        last=[section for section in document.sections if section.last],
    )


def _known(name: str) -> str:
    return max((key for key in CAPTIONS if name == key or name.startswith(f"{key}-")), key=len, default="")


def _figure(name: str, figure: bytes | Drawn) -> _Figure:
    caption = CAPTIONS.get(_known(name), name)
    if isinstance(figure, Drawn):
        return _Figure(name, caption, figure.words, svg=figure.svg)
    if not figure.startswith(PNG):
        raise ValueError(f"figure {name!r} is no PNG")
    return _Figure(name, caption, caption, source=f"data:image/png;base64,{base64.b64encode(figure).decode()}")


def _is_line(block: Block) -> bool:
    return isinstance(block, Line)


def _is_facts(block: Block) -> bool:
    return isinstance(block, Facts)


def _parted(number: str) -> tuple[str, str, str]:
    """``0.776 [0.75, 0.80]`` as its value and its interval."""
    return number.partition(" [")


def _tables(block: Table | Layouts) -> tuple[Table, ...]:
    return tuple(map(_without_empty, block.options[0] if isinstance(block, Layouts) else (block,)))


def _without_empty(table: Table) -> Table:
    """``table`` without columns that hold nothing in any row; the first names the rows and stays."""
    kept = [
        place
        for place in range(len(table.columns))
        if place == 0 or any(row[place].lines not in ((MISSING,), ("",)) for row in table.rows)
    ]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return Table(tuple(table.columns[place] for place in kept), rows, table.caption, table.notes)
