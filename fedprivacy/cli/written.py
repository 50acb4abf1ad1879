"""``--format`` and ``--output``: what a command found, in any format, on standard output or in a file.

A file is replaced only where fedprivacy made it and nobody changed it since, which a mark with a digest at its head
says; anything else needs ``--fresh``. Tables and JSON have no room for a mark: they are known by how they begin.
"""

from __future__ import annotations

import hashlib
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

import click

from fedprivacy.cli.say import put, say
from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult
    from fedprivacy.reporting.formats import Findings

Format = Literal["table", "markdown", "latex", "csv", "json", "html"]
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SUFFIXES: Mapping[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
    ".txt": "table",
}
"""Format of a file by its ending, where --format does not say."""

MARKS: Mapping[Format, str] = {
    "markdown": "<!-- made by fedprivacy, {} -->\n\n",
    "html": "<!-- made by fedprivacy, {} -->\n",
    "latex": "% made by fedprivacy, {}\n",
    "table": "made by fedprivacy, {}\n\n",
}
"""Put at the head of a file of a format that has room for it, with a digest of what follows."""

DIGITS = 16
HEADS = ('{\n  "schema": "fedprivacy/', "run,kind,metric,value,")
"""How files of the other formats begin."""


@dataclass(frozen=True)
class Destination:
    """Where a report goes, and in which format."""

    form: Format
    output: Path | None
    full: bool = False
    """Whether a terminal gets all of it, as a file does."""

    @classmethod
    def of(cls, form: str | None, output: Path | None, fresh: bool = False, full: bool = False) -> Destination:
        """From the flags, before anything is done. UsageError where the file cannot be, or is somebody else's."""
        by_name = SUFFIXES.get(output.suffix.lower()) if output is not None else None
        chosen: Any = form or by_name or "table"
        if output is None:
            return cls(chosen, None, full)
        if form is None and by_name is None and output.suffix:
            raise UsageError(
                f"--output: no format ends in {output.suffix}; there are {', '.join(SUFFIXES)}, or name it by --format."
            )
        if output.is_symlink():
            raise UsageError(f"--output: {output} is a link; name the file itself, or leave --output out to print.")
        if output.is_dir():
            raise UsageError(f"--output: {output} is a folder; name a file, such as {output / 'report.html'}.")
        there = next(place for place in (output, *output.absolute().parents) if place.exists())
        if not (there.is_file() if there == output else there.is_dir()) or not os.access(there, os.W_OK):
            raise UsageError(f"--output: cannot write to {output}: see {there}.")
        if output.exists() and not fresh and not _ours(output):
            raise UsageError(
                f"--output: {output} is no report of fedprivacy, or was changed since; add --fresh to replace it."
            )
        return cls(chosen, output, full)

    @property
    def on_terminal(self) -> bool:
        """Whether people read it as it is printed."""
        return self.output is None and self.form == "table"

    def linked(self, words: str, out: Path) -> str:
        """Markdown that lies in ``out``, its links to ``figures/`` such that they hold from the file it goes to."""
        if self.output is None:
            return words
        way = quote(Path(os.path.relpath(out.resolve(), self.output.resolve().parent)).as_posix())
        return words.replace("](figures/", f"]({way}/figures/")

    def deliver(self, found: Callable[[], Findings], shown: Callable[[], None]) -> None:
        """Write or print; ``shown`` prints for a terminal."""
        if self.on_terminal:
            shown()
            return
        text = found().text(self.form)
        if self.output is None:
            put(text)
            return
        from fedprivacy.folder import write_text

        write_text(self.output, MARKS.get(self.form, "").format(_digest(text)) + text)
        say(f"Written to {self.output}.")


def _ours(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8", "replace")
    marks = tuple(mark.format(_digest(_after(text, mark))) for mark in MARKS.values())
    return not text or text.startswith((*HEADS, *marks))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _after(text: str, mark: str) -> str:
    """What follows a mark of that form."""
    return text[len(mark) - len("{}") + DIGITS :]


def written(command: CommandT) -> CommandT:
    """Decorator: add both flags; the command gets ``form`` and ``output``."""
    return written_with()(command)


in_full = click.option(
    "--full", is_flag=True, help="Print all numbers on the terminal, not only the verdicts and what they rest on."
)
"""Decorator: the flag of every command whose report has a short form."""


illustrated = click.option(
    "--figures", is_flag=True, help="Draw figures/*.png and the page report.html in the run folder too."
)
"""Decorator: the flag of every command that leaves or reads a run folder."""


def written_with(*more: str) -> Callable[[CommandT], CommandT]:
    """The same with ``more`` formats of a command's own."""

    def add(command: CommandT) -> CommandT:
        for option in reversed(written_options(*more)):
            command = option(command)
        return command

    return add


def written_options(*more: str) -> tuple[Callable[[Any], Any], ...]:
    """Both flags; ``more`` formats of a command's own."""
    return (
        click.option(
            "--format",
            "form",
            type=click.Choice([*typing.get_args(Format), *more]),
            default=None,
            help="Format of the report [default: by the ending of --output, else table].",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path),
            default=None,
            metavar="FILE",
            help="Write the report to this file; its ending says the format.",
        ),
    )


def findings_of(result: RunResult, where: Path | None) -> Callable[[], Findings]:
    """Of one run, with the figures of its folder, where it has one."""

    def made() -> Findings:
        from fedprivacy.reporting.formats import of_run
        from fedprivacy.reporting.html import to_html

        def page() -> str:
            from fedprivacy.study.documents import drawn_for_page

            return to_html(result, drawn_for_page(result, where or Path(os.devnull)))

        return of_run(result, page)

    return made
