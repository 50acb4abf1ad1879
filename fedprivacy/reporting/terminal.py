"""A report on a terminal, or as plain text where the output is no terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.bare import print_bare
from fedprivacy.reporting.brief import New, brief
from fedprivacy.reporting.document import Block, Cell, Document, Facts, Layouts, Line, Table, Tone
from fedprivacy.reporting.report import report
from fedprivacy.reporting.widths import GAP, needed, widths

STYLES: Mapping[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "good": "green",
    "bad": "bold red",
    "warn": "magenta",
    "quiet": "dim",
}
"""Colours that can be read on dark and on light grounds; no yellow, no white."""


def render(result: RunResult, console: Console, full: bool = False, new: New = "run") -> None:
    """Print the report of ``result`` in the width of ``console``: all of it, or in short what is ``new``.

    Without a terminal there are no colour codes.
    """
    render_document(report(result) if full else brief(result, new), console)


def render_document(document: Document, console: Console) -> None:
    """Print any document."""
    print_bare(console, Text(document.title, style="bold"))
    for section in document.sections:
        console.print()
        print_bare(console, Rule(Text(section.title, style="bold"), align="left", style="dim"))
        for number, block in enumerate(section.blocks):
            if number and not (isinstance(block, Line) and isinstance(section.blocks[number - 1], Line)):
                console.print()
            for part in _parts(block, console.width):
                print_bare(console, part)


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
    """The first shape that fits; the last one in any case."""
    for tables in layouts.options:
        if all(needed(table) <= width for table in tables):
            return tables
    return layouts.options[-1]


def _table(table: Table, width: int) -> RenderableType:
    fitted = widths(table, width)
    if fitted is None:
        return _rows_below_each_other(table)
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column, characters in zip(table.columns, fitted, strict=True):
        title = _cell(Cell((column.title, *([column.under] if column.under else []))))
        drawn.add_column(title, justify=column.align, width=characters, no_wrap=not column.fold, header_style="bold")
    for cells in table.rows:
        drawn.add_row(*(_cell(content) for content in cells))
    return drawn


def _rows_below_each_other(table: Table) -> RenderableType:
    """A table too wide for the terminal: each row a block, and in it a line a column, so that no word is broken."""
    chance = table.columns[0].under
    blocks: list[RenderableType] = []
    for cells in table.rows:
        blocks += [Text("")] if blocks else []
        for place, (column, content) in enumerate(zip(table.columns, cells, strict=True)):
            title = f"{column.title}: " if column.title else ""
            words = ", ".join(filter(None, content.lines))
            below = f" ({chance} {column.under})" if place and column.under else ""
            text = Text(f"{title}{words}{below}", style=STYLES[content.tone])
            blocks.append(Padding(text, (0, 0, 0, GAP if place else 0)))
    return Group(*blocks)


def _cell(content: Cell) -> Text:
    text = Text(content.lines[0], style=STYLES[content.tone])
    for line in content.lines[1:]:
        text.append("\n")
        text.append(line, style="not bold dim")
    return text
