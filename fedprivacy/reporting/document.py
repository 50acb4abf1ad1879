"""A report as plain blocks, so that terminal, Markdown and HTML show the same words and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["plain", "strong", "good", "bad", "warn", "quiet"]
"""How a line is meant. Never the only sign of it: the words say the same."""

Align = Literal["left", "right"]


@dataclass(frozen=True)
class Cell:
    """One cell: the first line is the number or name, further lines say more about it."""

    lines: tuple[str, ...]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Column:
    """A column; one that may ``fold`` is wrapped between words where space is short, numbers are not.

    ``under`` stands below the title: what the column reads without leakage, say.
    """

    title: str
    align: Align = "left"
    fold: bool = False
    under: str = ""


@dataclass(frozen=True)
class Line:
    """A sentence."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Rows under column titles, with a caption above and notes below."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row needs {len(self.columns)} cells")


@dataclass(frozen=True)
class Layouts:
    """The same content in several shapes, widest first, each of one or more tables.

    A page takes the first shape, a terminal the first that fits.
    """

    options: tuple[tuple[Table, ...], ...]


Block = Line | Facts | Table | Layouts


@dataclass(frozen=True)
class Section:
    """A title and what stands under it; ``last``: how the result came about, for whoever has read it."""

    title: str
    blocks: tuple[Block, ...]
    last: bool = False


@dataclass(frozen=True)
class Banner:
    """The first thing on a page: the verdict, and the one number that it rests on, with its interval.

    ``metric`` names the number, ``against`` says what it is held against (``without leakage 0.500 [0.48, 0.52]``), and
    ``about`` how and on what it was measured. ``also``: further verdicts as bad. Without a number only the verdict is
    shown.
    """

    verdict: str
    tone: Tone
    metric: str = ""
    number: str = ""
    against: str = ""
    about: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report; ``banner`` is for renderings that have a first screen of their own."""

    title: str
    sections: tuple[Section, ...]
    banner: Banner | None = None


@dataclass
class Footnotes:
    """Marks (a), (b), ... for texts; an equal text gets the same mark."""

    texts: dict[str, str] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """The mark of ``text``, such as ``(a)``."""
        if text not in self.texts:
            number, letters = len(self.texts), ""
            while number >= 0:
                letters = chr(ord("a") + number % 26) + letters
                number = number // 26 - 1
            self.texts[text] = f"({letters})"
        return self.texts[text]

    def lines(self) -> tuple[str, ...]:
        """All notes, each behind its mark."""
        return tuple(f"{mark} {text}" for text, mark in self.texts.items())


def cell(*lines: str, tone: Tone = "plain") -> Cell:
    """A cell of one or more lines; empty further lines are left out."""
    return Cell((lines[0], *(line for line in lines[1:] if line)), tone)


def row(cells: Iterable[str | Cell]) -> tuple[Cell, ...]:
    """Cells of a row, from plain text where one line is enough."""
    return tuple(content if isinstance(content, Cell) else cell(content) for content in cells)
