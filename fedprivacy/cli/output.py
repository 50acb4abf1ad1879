"""Standard output as a terminal, which may close early."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class Output(Console):
    """A reader that stops early, such as ``head``, ends the output and not the command: its exit code still counts."""

    def on_broken_pipe(self) -> None:
        """Go on in silence; rich itself would exit with 1, which here says that a stated limit was broken."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
