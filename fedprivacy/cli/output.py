"""Standard output: reports leave here, cleaned of what could rewrite a terminal, to a reader that may stop early."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from fedprivacy.reporting.text import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType


class Output(Console):
    """Standard output. A reader that stops early, such as ``head``, ends the output and not the command.

    The exit code still counts. Control characters in what is printed become U+FFFD; styles are rich's own.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Go on in silence; rich itself would exit with 1, which here says that a stated limit was broken."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
