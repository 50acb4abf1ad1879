"""A report as one HTML file that needs nothing else: styles inline, figures as data, no script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Document, Facts, Layouts, Line, Table
from fedprivacy.reporting.report import report

PNG = b"\x89PNG\r\n\x1a\n"
CAPTIONS: Mapping[str, str] = {
    "roc": "ROC on log axes: members recognised against non-members called members, with bands and the chance line.",
    "leakage": "AUC with interval by adversary and statistic; the grey band is what no leakage reads.",
    "inversion": "Originals, what the attack that explains each message best made of it, and guesses: the best from "
    "public records, and the same attack fed another client's message. The first ones in order, none chosen.",
    "frontier": "Accuracy and leakage against epsilon, with intervals.",
    "claim": "Claimed epsilon from above, measured lower bound from below, and the ceiling of the audit.",
}


@dataclass(frozen=True)
class _Figure:
    caption: str
    source: str


def to_html(result: RunResult, figures: Mapping[str, bytes]) -> str:
    """The report of ``result`` with ``figures`` (name to PNG) embedded; every text is escaped.

    Known names (roc, leakage, frontier, claim) have captions, any other name is its own. Raises ValueError for a
    figure that is no PNG.
    """
    return document_to_html(report(result, verdicts_first=True), figures)


def document_to_html(document: Document, figures: Mapping[str, bytes]) -> str:
    """Any document."""
    environment = Environment(
        loader=PackageLoader("fedprivacy.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests.update({"line_block": _is_line, "facts_block": _is_facts})
    environment.filters["tables"] = _tables
    drawn = [_figure(name, data) for name, data in figures.items()]
    return environment.get_template("report.html.j2").render(document=document, figures=drawn)


def _figure(name: str, data: bytes) -> _Figure:
    if not data.startswith(PNG):
        raise ValueError(f"figure {name!r} is no PNG")
    known = next((caption for key, caption in CAPTIONS.items() if name == key or name.startswith(f"{key}-")), name)
    return _Figure(known, f"data:image/png;base64,{base64.b64encode(data).decode()}")


def _is_line(block: Block) -> bool:
    return isinstance(block, Line)


def _is_facts(block: Block) -> bool:
    return isinstance(block, Facts)


def _tables(block: Table | Layouts) -> tuple[Table, ...]:
    return block.options[0] if isinstance(block, Layouts) else (block,)
