"""What a command found, in every format. Words come from one document, numbers from one table of tidy rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any, Literal

from rich.console import Console

from fedprivacy.judge.result import RunResult, Verdict
from fedprivacy.reporting.compare import run_labels, side_by_side, verdicts_of
from fedprivacy.reporting.document import Document
from fedprivacy.reporting.html import Figures, document_to_html
from fedprivacy.reporting.latex import document_to_latex
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.paper import paper
from fedprivacy.reporting.record import Record, document
from fedprivacy.reporting.report import report
from fedprivacy.reporting.schema import RUNS, TABLE
from fedprivacy.reporting.terminal import render_document
from fedprivacy.reporting.tidy import Row, tidy, to_csv

Format = Literal["table", "markdown", "latex", "csv", "json", "html"]
WIDTH = 100
"""Columns of a table that goes to a file."""


@dataclass(frozen=True)
class Findings:
    """``page`` draws the HTML page, figures and all; ``content`` is what JSON says, under a schema of its own."""

    document: Document
    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    content: Mapping[str, Any]
    page: Callable[[], str]
    markdown: str = ""
    """A page of its own, where there is one; else the document."""

    def text(self, form: Format) -> str:
        """All of it in one format, ending in a line break."""
        if form == "csv":
            return to_csv(self.rows)
        if form == "json":
            return json.dumps(self.content, indent=2, allow_nan=False) + "\n"
        if form == "latex":
            return document_to_latex(paper(self.rows, self.document.title, self.verdicts))
        if form == "html":
            return self.page()
        if form == "markdown":
            return self.markdown or document_to_markdown(self.document)
        page = StringIO()
        render_document(self.document, Console(file=page, width=WIDTH))
        return page.getvalue()


def of_run(result: RunResult, page: Callable[[], str]) -> Findings:
    """Of one run; ``page`` knows its figures."""
    return Findings(report(result), tidy([result], run_labels([result])), result.verdicts, result.to_json(), page)


def of_record(record: Record, result: RunResult) -> Findings:
    """Of a record on one page; its numbers are those of the run."""
    page = document(record)
    rows = tidy([result], run_labels([result]))
    return Findings(page, rows, result.verdicts, record.to_json(), lambda: document_to_html(page, {}))


def of_runs(
    results: Sequence[RunResult],
    labels: Sequence[str] | None = None,
    judged: bool = True,
    figures: Callable[[], Figures] = dict,
) -> Findings:
    """Of several runs side by side; ``judged`` as in :func:`fedprivacy.reporting.compare.side_by_side`."""
    names = run_labels(results) if labels is None else list(labels)
    table = side_by_side(results, names, judged)
    runs = [{"run": name, "result": result.to_json()} for name, result in zip(names, results, strict=True)]
    verdicts = verdicts_of(results, names) if judged else []
    content = {"schema": RUNS, "runs": runs, "verdicts": [asdict(verdict) for verdict in verdicts]}
    return Findings(table, tidy(results, names), verdicts, content, lambda: document_to_html(table, figures()))


def of_table(
    title: str,
    rows: Sequence[Row],
    verdicts: Sequence[Verdict],
    figures: Callable[[], Figures] = dict,
    markdown: str = "",
    document: Document | None = None,
) -> Findings:
    """Of rows that no single run gave; ``document`` where there is a better one than their tables."""
    words = document or paper(rows, title, verdicts)
    content = {
        "schema": TABLE,
        "title": title,
        "rows": [asdict(row) for row in rows],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    return Findings(words, rows, verdicts, content, lambda: document_to_html(words, figures()), markdown)
