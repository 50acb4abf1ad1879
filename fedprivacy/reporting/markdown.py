"""A report as Markdown with GitHub's tables."""

from __future__ import annotations

import re

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Cell, Document, Facts, Layouts, Line, Table
from fedprivacy.reporting.report import report

_MARKUP = re.compile(r"[\\`*|<>~&]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
_AT_START = re.compile(r"^(?:[#+=-]|[0-9]+[.)](?=\s|$))")


def to_markdown(result: RunResult) -> str:
    """The report of ``result``; names are escaped, so no text of a result can add markup."""
    return document_to_markdown(report(result))


def document_to_markdown(document: Document) -> str:
    """Any document."""
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        lines: list[str] = []
        for block in section.blocks:
            if isinstance(block, Line) and block.tone != "quiet":
                lines.append(f"- {_line(block)}")
                continue
            parts += ["\n".join(lines)] if lines else []
            lines = []
            parts += [escape(block.text)] if isinstance(block, Line) else _block(block)
        parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def inline(text: str) -> str:
    """``text`` inside a line, such as a table cell, so that Markdown shows it as it is."""
    return _MARKUP.sub(lambda match: "\\" + match[0], text)


def escape(text: str) -> str:
    """``text`` at the start of a line, where a number sign or ``1.`` would mean something too."""
    return _AT_START.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], inline(text))


def _line(line: Line) -> str:
    text = escape(line.text)
    return f"**{text}**" if line.tone in ("strong", "bad", "good") else text


def _block(block: Facts | Table | Layouts) -> list[str]:
    if isinstance(block, Facts):
        rows = [f"| {inline(name)} | {inline(value)} |" for name, value in block.pairs]
        return ["\n".join(["| | |", "|:--|:--|", *rows])]
    tables = (block,) if isinstance(block, Table) else block.options[0]
    return [part for table in tables for part in _table(table)]


def _table(table: Table) -> list[str]:
    titles = ("<br>".join(map(inline, filter(None, (column.title, column.under)))) for column in table.columns)
    head = f"| {' | '.join(titles)} |"
    rule = "|" + "|".join("--:" if column.align == "right" else ":--" for column in table.columns) + "|"
    body = ["| " + " | ".join(_cell(content) for content in cells) + " |" for cells in table.rows]
    parts = [f"**{inline(table.caption)}**"] if table.caption else []
    parts.append("\n".join([head, rule, *body]))
    if table.notes:
        parts.append("<br>\n".join(escape(note) for note in table.notes))
    return parts


def _cell(content: Cell) -> str:
    first, *rest = map(inline, content.lines)
    strong = content.tone in ("strong", "bad") and first
    return "<br>".join([f"**{first}**" if strong else first, *rest])
