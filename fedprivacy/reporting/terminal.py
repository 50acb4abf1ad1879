"""A report on a terminal, or as plain text where the output is no terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.segment import Segment, Segments
from rich.table import Table as RichTable
from rich.text import Text

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Cell, Column, Document, Facts, Layouts, Line, Table, Tone
from fedprivacy.reporting.report import report

STYLES: Mapping[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "good": "green",
    "bad": "bold red",
    "warn": "magenta",
    "quiet": "dim",
}
"""Colours that can be read on dark and on light grounds; no yellow, no white."""

GAP = 2
NARROWEST_NAME = 12


def render(result: RunResult, console: Console) -> None:
    """Print the report of ``result`` in the width of ``console``; without a terminal there are no colour codes."""
    render_document(report(result), console)


def render_document(document: Document, console: Console) -> None:
    """Print any document."""
    _print(console, Text(document.title, style="bold"))
    for section in document.sections:
        console.print()
        _print(console, Rule(Text(section.title, style="bold"), align="left", style="dim"))
        for number, block in enumerate(section.blocks):
            if number and not (isinstance(block, Line) and isinstance(section.blocks[number - 1], Line)):
                console.print()
            for part in _parts(block, console.width):
                _print(console, part)


def _print(console: Console, content: RenderableType) -> None:
    """Print without blanks at line ends, so that the text can be pasted."""
    for line in console.render_lines(content, pad=False):
        while line and not line[-1].text.rstrip():
            line.pop()
        if line:
            last = line[-1]
            line[-1] = Segment(last.text.rstrip(), last.style)
        console.print(Segments([*line, Segment.line()]), end="")


def _parts(block: Block, width: int) -> list[RenderableType]:
    if isinstance(block, Line):
        text = Text(block.text, style=STYLES[block.tone])
        return [text if block.tone == "quiet" else _hanging(text)]
    if isinstance(block, Facts):
        return [_facts(block)]
    parts: list[RenderableType] = []
    for table in (block,) if isinstance(block, Table) else _fitting(block, width):
        parts += [Text("")] if parts else []
        parts += [Text(table.caption, style="bold")] if table.caption else []
        parts.append(_table(table, width))
        parts += [Padding(Text(note, style="dim"), (0, 0, 0, GAP)) for note in table.notes]
    return parts


def _hanging(text: Text) -> RenderableType:
    """A sentence whose further lines are indented, so that sentences can be told apart."""
    grid = RichTable.grid(padding=0)
    grid.add_column(width=GAP)
    grid.add_column(overflow="fold")
    grid.add_row(Text("- ", style=text.style), text)
    return grid


def _facts(facts: Facts) -> RichTable:
    grid = RichTable.grid(padding=(0, GAP, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.pairs:
        grid.add_row(Text(name), Text(value))
    return grid


def _fitting(layouts: Layouts, width: int) -> tuple[Table, ...]:
    """The first shape that fits with its names folded a little at most; the last one in any case."""
    for tables in layouts.options:
        if all(_needed(table) <= width for table in tables):
            return tables
    return layouts.options[-1]


def _natural(column: Column, cells: list[Cell]) -> int:
    return max(cell_len(line) for line in (column.title, *(line for one in cells for line in one.lines)))


def _needed(table: Table) -> int:
    """Columns of the terminal that the numbers need, names folded to ``NARROWEST_NAME``."""
    total = GAP * (len(table.columns) - 1)
    for place, column in enumerate(table.columns):
        natural = _natural(column, [row[place] for row in table.rows])
        total += min(natural, NARROWEST_NAME) if column.fold else natural
    return total


def _table(table: Table, width: int) -> RichTable:
    numbers_fit = _needed(table) <= width
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in table.columns:
        drawn.add_column(
            Text(column.title),
            justify=column.align,
            overflow="fold",
            no_wrap=numbers_fit and not column.fold,
            header_style="bold",
        )
    for cells in table.rows:
        drawn.add_row(*(_cell(content) for content in cells))
    return drawn


def _cell(content: Cell) -> Text:
    text = Text(content.lines[0], style=STYLES[content.tone])
    for line in content.lines[1:]:
        text.append("\n")
        text.append(line, style="not bold dim")
    return text
