"""Widths of a table's columns where they are counted in characters: words are never broken, numbers never wrapped."""

from __future__ import annotations

from rich.cells import cell_len

from fedprivacy.reporting.document import Cell, Column, Table

GAP = 2
"""Blanks between two columns."""
NARROWEST_NAME = 12


def needed(table: Table) -> int:
    """Characters that ``table`` needs at least: its numbers whole, its names folded between words."""
    return _with_gaps([_least(*part) for part in _parts(table)])


def widths(table: Table, width: int) -> list[int] | None:
    """Characters of each column of ``table`` in ``width``; None where a word or a number would have to be broken.

    What is left beyond the least goes to the columns that lack most.
    """
    parts = _parts(table)
    found, wanted = [_least(*part) for part in parts], [_natural(*part) for part in parts]
    if _with_gaps(found) > width:
        return None
    for _ in range(width - _with_gaps(found)):
        lacking = [most - now for most, now in zip(wanted, found, strict=True)]
        if max(lacking) <= 0:
            break
        found[lacking.index(max(lacking))] += 1
    return found


def _parts(table: Table) -> list[tuple[Column, list[Cell]]]:
    return [(column, [row[place] for row in table.rows]) for place, column in enumerate(table.columns)]


def _with_gaps(found: list[int]) -> int:
    return sum(found) + GAP * (len(found) - 1)


def _lines(column: Column, cells: list[Cell]) -> list[str]:
    return [column.title, column.under, *(line for one in cells for line in one.lines)]


def _natural(column: Column, cells: list[Cell]) -> int:
    return max(map(cell_len, _lines(column, cells)))


def _least(column: Column, cells: list[Cell]) -> int:
    """The longest word of a column that may fold, and some more for reading; the longest line of any other."""
    natural = _natural(column, cells)
    if not column.fold:
        return natural
    words = [word for line in _lines(column, cells) for word in line.split()]
    return max(min(natural, NARROWEST_NAME), *map(cell_len, words), 1)
