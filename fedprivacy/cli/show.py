"""A result on the terminal, and as files in its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fedprivacy.result import RunResult


def show(result: RunResult, where: Path | None) -> None:
    """The terminal report, and where its files lie."""
    from rich.console import Console

    from fedprivacy.reporting.terminal import render

    render(result, Console())
    if where is not None:
        click.echo(f"Run folder: {where}")
