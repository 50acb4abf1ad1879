"""Printing without blanks at line ends, so that the text can be pasted."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments


def print_bare(console: Console, content: RenderableType) -> None:
    """Print ``content``, each line up to its last visible character."""
    for line in console.render_lines(content, pad=False):
        while line and not line[-1].text.rstrip():
            line.pop()
        if line:
            last = line[-1]
            line[-1] = Segment(last.text.rstrip(), last.style)
        console.print(Segments([*line, Segment.line()]), end="")
