"""A result on the terminal, and as files in its run folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fedprivacy.cli.say import tell
from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fedprivacy.judge.result import RunResult
    from fedprivacy.reporting.brief import New


def show(
    result: RunResult, where: Path | None, full: bool = False, new: New = "run", pictures: Path | None = None
) -> None:
    """The terminal report, ``full`` or in short, pictures where the terminal can show them, and where the files lie.

    ``new``: what of it is; ``pictures``: the run folder that they lie in, where it is not ``where``.
    """
    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.terminal import render

    console = Output()
    render(result, console, full, new)
    show_pictures(console, where or pictures)
    if where is not None:
        tell(f"Run folder: {where}")
        if not full:
            tell(f"All numbers: fedprivacy report {shlex.quote(str(where))} --full")


def draw(result: RunResult, where: Path | None) -> None:
    """Figures and page of a result in its run folder."""
    from fedprivacy.study.documents import write_documents

    if where is None:
        raise UsageError("--figures needs a run folder to draw in: name one with --out.")
    tell(f"Page, with its figures in figures/: {write_documents(result, where)}")


def show_pictures(console: Console, run: Path | None) -> None:
    """The pictures of a run folder where ``console`` can show them, else where they lie."""
    from fedprivacy.reporting.half_blocks import can_show, show_panel
    from fedprivacy.reporting.pictures import panels

    if run is None or not (run / "pictures").is_dir():
        return
    for panel in panels(run):
        if can_show(console):
            show_panel(panel, console)
        else:
            console.print(
                f"Pictures of {panel.name}: fedprivacy report {shlex.quote(str(run))} --figures",
                highlight=False,
                soft_wrap=True,
            )
