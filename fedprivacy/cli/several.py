"""Several runs side by side: printed, kept in a folder of their own, and read from it to be drawn again."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedprivacy.cli.carry_out import result_of, sealed
from fedprivacy.cli.say import say, tell
from fedprivacy.cli.written import SUFFIXES, Destination
from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fedprivacy.judge.result import RunResult
    from fedprivacy.reporting.formats import Findings

COMPARISON, SWEEP = "comparison", "sweep"
FRONTIER = "Accuracy and leakage against epsilon, with intervals; the table holds the numbers."
_KEPT = re.compile(rf"({COMPARISON}|{SWEEP})(?:-(\d+))?\.json")


@dataclass(frozen=True)
class Several:
    """Results under the names of a table; ``judged``: held against the first, as a comparison is and no sweep."""

    results: Sequence[RunResult]
    labels: Sequence[str]
    judged: bool

    def findings(self) -> Findings:
        """In any format, with their figure on the page."""
        from fedprivacy.reporting.figures.drawn import drawn
        from fedprivacy.reporting.formats import of_runs

        name, words, figure = self._figure()
        return of_runs(
            self.results,
            self.labels,
            self.judged,
            lambda: {} if figure is None else {name: drawn(figure, name, words)},
        )

    def keep(self, where: Path) -> list[str]:
        """Write page, table, rows, figure and what :func:`stored` reads to ``where``; their names there."""
        from fedprivacy import folder
        from fedprivacy.reporting.figures.style import to_png

        found, stem = self.findings(), COMPARISON if self.judged else SWEEP
        name, _, figure = self._figure()
        made = {f"{stem}.json": folder.sealed_text(found.content).encode()}
        for file in ("report.html", f"{stem}.md", "rows.csv"):
            made[file] = found.text(SUFFIXES[Path(file).suffix]).encode()
        if figure is not None:
            made[f"{name}.png"] = to_png(figure)
        return [folder.write_beside(where / file, content).name for file, content in made.items()]

    def show(self) -> None:
        """Print them on the terminal."""
        from fedprivacy.cli.output import Output
        from fedprivacy.reporting.compare import render_comparison

        render_comparison(self.results, Output(), self.labels, self.judged)

    def _figure(self) -> tuple[str, str, Figure | None]:
        """Name, words and drawing of the one figure."""
        from fedprivacy.reporting.figures.frontier import frontier
        from fedprivacy.reporting.figures.leaks import NAME, WORDS, leaks_figure

        if self.judged:
            return NAME, WORDS, leaks_figure(self.results, self.labels)
        return "frontier", FRONTIER, frontier(self.results)


def told(where: Path, names: Sequence[str], to: Destination) -> None:
    """Say where they are kept, and how they are drawn again."""
    speak = tell if to.on_terminal else say
    speak(f"Page, table and rows: {where}")
    for line in textwrap.wrap(", ".join(names), 78, break_on_hyphens=False):
        speak(line)
    speak(f"Draw them again: fedprivacy report {shlex.quote(str(where))}")


def stored(where: Path) -> Several | None:
    """What :meth:`Several.keep` left in a folder, the newest there, or in one file; None where it is of something else.

    UsageError where it cannot be read.
    """
    from fedprivacy.reporting.schema import RUNS

    files = [where] if where.is_file() else sorted(where.glob("*.json"))
    found = {int(match[2] or 1): file for file in files if (match := _KEPT.fullmatch(file.name))}
    if not found:
        return None
    path = found[max(found)]
    content = sealed(path)
    runs = content.get("runs")
    if content.get("schema") != RUNS or not isinstance(runs, list) or not runs:
        raise UsageError(f"{path} holds no runs side by side (schema {RUNS}).")
    try:
        results = [result_of(run["result"], path) for run in runs]
        return Several(results, [str(run["run"]) for run in runs], path.name.startswith(COMPARISON))
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path}: a run has no {error}.") from None
