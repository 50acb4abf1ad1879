"""Pages of ours made on anybody's data: ``fedprivacy reproduce`` ``verdict``, ``leakage``, and those of rows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fedprivacy.cli.carry_out import attacked_again, carry_out, placed, ready
from fedprivacy.cli.say import put, say
from fedprivacy.cli.written import Destination
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.study.tables.recipe import Recipe, lines

if TYPE_CHECKING:
    from fedprivacy.judge.result import Finding, RunResult
    from fedprivacy.reporting.tidy import Row
    from fedprivacy.study.resolved import Study

NOTE = "part of a page: the attack was declared before the run"


@dataclass(frozen=True)
class Found:
    """Runs in a folder, trained or attacked once and found again."""

    out: Path
    workers: int
    quiet: bool = False
    exact: bool = False
    known: dict[str, Study] = field(default_factory=dict)
    """Studies that were resolved, by the digest of their settings."""

    def study(self, config: RunConfig) -> Study:
        """The study of a run. UsageError for all that can be found wrong without torch or data."""
        if config.digest() not in self.known:
            self.known[config.digest()] = ready(config, self.workers, "cpu")
        return self.known[config.digest()]

    def place(self, config: RunConfig) -> Path:
        """The folder of a run."""
        return placed(config, self.out)

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        """A federation without an attack, and its folder."""
        where = self.place(config)
        self.say(f"{config.protocol}, {config.rounds} rounds, seed {config.seed}:")
        again = "the same command; finished runs are found again"
        how = self.workers, "cpu", True, False, False, self.quiet, again, self.exact
        return carry_out(self.study(config), where, *how), where

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        """The transcripts of ``run``, attacked as ``config`` says."""
        where = self.place(config)
        used = config.defense
        defense = "" if used.name == "none" else f" under {used.name} {used.epsilon or ''}".rstrip()
        share = f"{100 * config.attack.known_share:g}% of the pool known"
        self.say(f"{config.protocol}{defense}, {config.rounds} rounds, seed {config.seed}, {share}:")
        how = "cpu", False, self.quiet, self.workers, True, NOTE, self.exact
        return attacked_again(self.study(config), run, where, *how)

    def together(self, attacked: Sequence[tuple[RunConfig, RunResult]]) -> Mapping[str, Mapping[str, Finding]]:
        """Declared findings by adversary and metric over attacked runs that differ by their seed alone."""
        from fedprivacy.study.membership.together import together

        return together([(self.study(config), self.place(config), result) for config, result in attacked])

    def say(self, words: str) -> None:
        """One line on what comes next."""
        if not self.quiet:
            say(words)


def verdict(
    base: RunConfig, seeds: int, shares: Sequence[float], budgets: Sequence[float], found: Found, to: Destination
) -> None:
    """Make the page in ``found.out`` and print it."""
    from fedprivacy.study.verdict.measured import measure
    from fedprivacy.study.verdict.page import TITLE, figure, page
    from fedprivacy.study.verdict.plan import attacked, every_series, trained
    from fedprivacy.study.verdict.tidied import rows

    for series in every_series(budgets):
        config = trained(base, series, base.seed, base.rounds)
        found.study(attacked(config, base, series, min(shares)))
    measured = measure(base, seeds, shares, budgets, found)
    drawn = figure(measured)
    name = _kept(found.out, f"verdict_{base.data.dataset}", drawn)
    words = page(measured, _command(), f"figures/{name}.png")
    _made("verdict", f"{TITLE} ({base.data.dataset})", rows(measured), words, {name: drawn}, found.out, to)


def leakage(
    base: RunConfig, protocols: Sequence[str], seeds: int, shares: Sequence[float], found: Found, to: Destination
) -> None:
    """Make the page in ``found.out`` and print it."""
    from fedprivacy import catalog
    from fedprivacy.study.leakage.measured import PROTOCOLS, measure
    from fedprivacy.study.leakage.page import figure, page
    from fedprivacy.study.leakage.tidied import rows

    chosen = tuple(protocols) or PROTOCOLS
    for name in chosen:
        catalog.card(name)
    measured = measure(base, chosen, seeds, found, shares)
    drawn = figure(measured)
    name = _kept(found.out, f"leakage_{base.data.dataset}", drawn)
    words = page(measured, _command(), f"figures/{name}.png")
    title = f"What each seat learns ({base.data.dataset})"
    _made("leakage", title, rows(measured), words, {name: drawn}, found.out, to)


def _kept(out: Path, name: str, figure: bytes) -> str:
    """Keep a figure beside those that are there; its name."""
    from fedprivacy import folder

    return folder.write_beside(out / "figures" / f"{name}.png", figure).stem


def _made(
    recipe: str, title: str, rows: list[Row], words: str, figures: Mapping[str, bytes], out: Path, to: Destination
) -> None:
    """Keep the page in ``out`` beside those that are there, and print or write it as asked."""
    from fedprivacy import folder
    from fedprivacy.reporting.formats import of_table

    place = folder.write_beside(out / f"{recipe}.md", words.encode())
    told = to.linked(words, out)
    to.deliver(lambda: of_table(title, rows, (), lambda: figures, told), lambda: put(words))
    say(f"Page, with its figure in figures/: {place}")


def table(page: Recipe, recipe: str, base: RunConfig, only: Sequence[str], found: Found, to: Destination) -> None:
    """Make a page of rows and columns, called ``recipe``, in ``found.out`` and print it."""
    chosen = lines(page, base, only, recipe)
    from fedprivacy import folder
    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.formats import of_table
    from fedprivacy.reporting.markdown import document_to_markdown
    from fedprivacy.reporting.terminal import render_document
    from fedprivacy.reporting.tidy import tidy
    from fedprivacy.study.tables.made import make
    from fedprivacy.study.tables.page import document, figures, judged

    made = make(chosen, found, lambda line: found.study(line.config), page.audited)
    told = document(page, made, base, _command())
    drawn = figures(page, made)
    names = {title: _kept(found.out, title, png) for title, png in drawn.items()}
    words = document_to_markdown(told) + "".join(f"\n![{title}](figures/{kept}.png)\n" for title, kept in names.items())
    place = folder.write_beside(found.out / f"{Path(recipe).stem}.md", words.encode())
    results = [(one.line.title, one.result) for one in made if one.result is not None]
    rows = tidy([result for _, result in results], [title for title, _ in results])
    to.deliver(
        lambda: of_table(page.title, rows, judged(page, made), lambda: drawn, to.linked(words, found.out), told),
        lambda: render_document(told, Output()),
    )
    say(f"Page{', with its figures in figures/' if drawn else ''}: {place}")


def numbers(flag: str, text: str, least: float, most: float) -> tuple[float, ...]:
    """Numbers above ``least`` and at most ``most``, rising. UsageError for anything else."""
    try:
        found = tuple(sorted({float(part) for part in text.split(",") if part.strip()}))
    except ValueError:
        raise UsageError(f"{flag}: '{text}' holds what is no number; give such as 0.25,0.5,1.") from None
    if not found or any(not least < value <= most for value in found):
        raise UsageError(f"{flag}: each lies above {least:g} and at most {most:g} (got {text}).")
    return found


ABOUT_THIS_MACHINE = ("--out", "--workers", "--format", "--output")
"""Flags that change no number."""


def _command() -> str:
    words, left = [], iter(sys.argv[1:])
    for word in left:
        if word in ABOUT_THIS_MACHINE:
            next(left, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in ABOUT_THIS_MACHINE)):
            words.append(word)
    return "fedprivacy " + " ".join(map(shlex.quote, words))
