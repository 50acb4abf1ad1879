"""``fedprivacy report``: a stored run drawn again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from fedprivacy.cli.written import Destination, findings_of, written


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Replace the file at --output whatever it is.")
@written
def command(run: Path, fresh: bool, form: str | None, output: Path | None) -> None:
    """Draw the report of a stored run again, without training."""
    from fedprivacy.cli.carry_out import read_result
    from fedprivacy.cli.show import show

    to = Destination.of(form, output, fresh)
    result = read_result(run)
    with _drawn(run):
        if to.form == "html":
            from fedprivacy.study.documents import assert_whole

            assert_whole(run)
        to.deliver(findings_of(result, run), lambda: show(result, None, run))


@contextlib.contextmanager
def _drawn(run: Path) -> Iterator[None]:
    """A stored result that cannot be drawn is a damaged file: whoever drew it first could."""
    from fedprivacy.folder import Damaged

    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise Damaged(f"{run} holds a result that cannot be drawn: {type(error).__name__}: {words}") from error
