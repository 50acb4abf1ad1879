"""``fedprivacy report``: a stored run drawn again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedprivacy.cli.say import put, say

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult


SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}
"""Format of a file by its ending, where --format does not say."""


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "html", "markdown", "json"]), default="table")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Write to this file.")
def command(run: Path, form: str, output: Path | None) -> None:
    """Draw the report of a stored run again, without training."""
    from fedprivacy.cli.carry_out import read_result

    result = read_result(run)
    with _drawn(run):
        _draw(result, run, form, output)


@contextlib.contextmanager
def _drawn(run: Path) -> Iterator[None]:
    """A stored result that cannot be drawn is a damaged file: whoever drew it first could."""
    from fedprivacy.folder import Damaged

    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise Damaged(f"{run} holds a result that cannot be drawn: {type(error).__name__}: {words}") from error


def _draw(result: RunResult, run: Path, form: str, output: Path | None) -> None:
    if output is not None and form == "table":
        form = SUFFIXES.get(output.suffix.lower(), form)
    if form == "table" and output is None:
        from fedprivacy.cli.show import show

        show(result, None, run)
        return
    text = _text(result, run, form)
    if output is None:
        put(text)
    else:
        from fedprivacy.folder import write_text

        write_text(output, text)
        say(f"Written to {output}.")


def _text(result: RunResult, run: Path, form: str) -> str:
    if form == "json":
        return json.dumps(result.to_json(), indent=2) + "\n"
    if form == "html":
        from fedprivacy.reporting.html import to_html
        from fedprivacy.study.documents import assert_whole, figures

        assert_whole(run)
        return to_html(result, figures(result, run))
    from io import StringIO

    from fedprivacy.reporting.markdown import to_markdown

    if form == "markdown":
        return to_markdown(result)
    from rich.console import Console

    from fedprivacy.reporting.terminal import render

    page = StringIO()
    render(result, Console(file=page, width=100))
    return page.getvalue()
