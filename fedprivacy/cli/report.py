"""``fedprivacy report``: a stored run, comparison or sweep drawn again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedprivacy.cli.written import Destination, findings_of, illustrated, in_full, written_with
from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult


RECORD = "record"
"""The format that a regulator or a registry asks for: one page, or JSON where --output ends in .json."""


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Replace the file at --output whatever it is.")
@click.option("--per-record", is_flag=True, help="Name the records most at risk. For the owner of the data alone.")
@click.option(
    "--fdr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="With --per-record: false discovery rate of the records that are named.",
)
@click.option("--allow-code", is_flag=True, help="Let code from outside that a stored run names run with your rights.")
@written_with(RECORD)
@illustrated
@in_full
def command(
    run: Path,
    fresh: bool,
    per_record: bool,
    fdr: float,
    allow_code: bool,
    form: str | None,
    output: Path | None,
    figures: bool,
    full: bool,
) -> None:
    """Draw the report of a stored run, or of a stored comparison or sweep, again, without training.

    \b
    fedprivacy report RUN --output page.html
    fedprivacy report RUN --figures
    fedprivacy report RUN --format record --output record.json
    fedprivacy report RUN --per-record --fdr 0.05
    """
    from fedprivacy.cli.carry_out import read_result
    from fedprivacy.cli.several import stored
    from fedprivacy.cli.show import draw, show
    from fedprivacy.study.contents import assert_whole

    to = Destination.of(None if form == RECORD else form, output, fresh, full)
    several = stored(run)
    if several is not None:
        asked = "--per-record" if per_record else "--figures" if figures else f"--format {RECORD}"
        if per_record or figures or form == RECORD:
            raise UsageError(f"report: {run} holds runs side by side; {asked} is about one: name its folder.")
        with _drawn(run):
            to.deliver(several.findings, several.show)
        return
    result = read_result(run)
    if figures:
        with _drawn(run):
            assert_whole(run)
            draw(result, run)
    if form == RECORD:
        _record(result, to)
        return
    if per_record:
        _name_records(result, run, fdr, allow_code, to)
        return
    with _drawn(run):
        if to.form == "html":
            assert_whole(run)
        to.deliver(findings_of(result, run), lambda: show(result, None, to.full, pictures=run))


def _record(result: RunResult, to: Destination) -> None:
    """Print or write the privacy record, in the format that the file's ending says."""
    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.formats import of_record
    from fedprivacy.reporting.record import document
    from fedprivacy.reporting.terminal import render_document
    from fedprivacy.study.record import record

    made = record(result)
    to.deliver(lambda: of_record(made, result), lambda: render_document(document(made), Output()))


def _name_records(result: RunResult, run: Path, rate: float, allow_code: bool, to: Destination) -> None:
    """Print or write the records at risk; nothing of it stays in the run folder."""
    from fedprivacy.cli.carry_out import trusted
    from fedprivacy.cli.output import Output
    from fedprivacy.cli.settings import configuration
    from fedprivacy.reporting.formats import of_table
    from fedprivacy.reporting.terminal import render_document
    from fedprivacy.study import stored
    from fedprivacy.study.membership.accused import TITLE, document, rows
    from fedprivacy.study.membership.per_record import accusations
    from fedprivacy.study.resolve import resolve

    with stored.reading(run):
        config = configuration({}, stored.read_config(run))
        trusted(config, run, allow_code)
        study = resolve(config)
        stored.same_data(run, study.dataset.digest)
        found = accusations(result, study, run, rate)
    told = document(found)
    to.deliver(
        lambda: of_table(TITLE, rows(found, run.name), (), document=told), lambda: render_document(told, Output())
    )


@contextlib.contextmanager
def _drawn(run: Path) -> Iterator[None]:
    """A stored result that cannot be drawn is a damaged file: whoever drew it first could."""
    from fedprivacy.folder import Damaged

    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise Damaged(f"{run} holds a result that cannot be drawn: {type(error).__name__}: {words}") from error
