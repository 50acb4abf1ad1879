"""A result as Python users hold it: tables, figures, verdicts, and a page in notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedprivacy.cli.carry_out import read_result
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.judge import result as stored

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

TableKind = Literal["findings", "utility", "baselines", "bytes", "privacy", "verdicts", "audit"]
TABLES: tuple[str, ...] = ("findings", "utility", "baselines", "bytes", "privacy", "verdicts", "audit")


class Rows(list[dict[str, Any]]):
    """A table: a list of rows, each a plain dictionary of the same keys. In a notebook it shows itself."""

    def frame(self) -> pandas.DataFrame:
        """The rows as a pandas data frame. UsageError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise UsageError(
                "a data frame needs pandas: pip install pandas; the rows are plain dictionaries."
            ) from None
        return pandas.DataFrame(list(self))

    def _repr_html_(self) -> str:
        heads = list(dict.fromkeys(key for row in self for key in row))
        top = "".join(f"<th>{escape(head)}</th>" for head in heads)
        body = "".join("<tr>" + "".join(f"<td>{_shown(row.get(h))}</td>" for h in heads) + "</tr>" for row in self)
        return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _shown(value: Any) -> str:
    return "" if value is None else escape(f"{value:.4g}" if isinstance(value, float) else str(value))


@dataclass(frozen=True)
class RunResult(stored.RunResult):
    """Everything that a run found. ``folder`` is its run folder; None for a result that was never stored."""

    folder: Path | None = field(default=None, compare=False)

    @classmethod
    def of(cls, result: stored.RunResult, where: Path | None) -> RunResult:
        """The same result with its folder."""
        return cls(**{f.name: getattr(result, f.name) for f in fields(stored.RunResult)}, folder=where)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as in ``result.json``."""
        return stored.RunResult(**{f.name: getattr(self, f.name) for f in fields(stored.RunResult)}).to_json()

    def table(self, kind: TableKind = "findings") -> Rows:
        """Rows of one kind: findings, utility, baselines, bytes (by round), privacy, verdicts, or audit."""
        if kind not in TABLES:
            raise UsageError(f"No table '{kind}' exists. {near_miss(kind, TABLES)}")
        return Rows(_ROWS[kind](self))

    def figure(self, kind: str = "leakage") -> Figure:
        """A matplotlib figure: ``roc`` of each adversary's headline, ``leakage`` (AUC by statistic), ``claim`` of an
        audit, or ``inversion-...``: the pictures of one adversary. UsageError with those that this result has.
        """
        from fedprivacy.study.documents import drawings

        known = drawings(self, self.folder or Path())
        if kind not in known:
            hint = near_miss(kind, known) if known else "It has none."
            raise UsageError(f"No figure '{kind}' of this result exists. {hint}")
        return known[kind]()

    def _repr_html_(self) -> str:
        """The report, verdicts first, with its figures, as one page in a frame."""
        from fedprivacy.reporting.html import to_html
        from fedprivacy.study.documents import drawn_for_page

        page = to_html(self, drawn_for_page(self, self.folder or Path()))
        return f'<iframe srcdoc="{escape(page)}" style="width:100%;height:600px;border:1px solid #ccc"></iframe>'

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        from fedprivacy.reporting.terminal import render

        page = StringIO()
        render(self, Console(file=page, width=100))
        return page.getvalue()


def _findings(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    yield from (asdict(finding) for finding in result.findings)


def _utility(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    yield from _intervals(result.utility)


def _baselines(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    for other in result.baselines:
        for row in _intervals(other.utility):
            yield {"baseline": other.name, **row}


def _intervals(utility: Mapping[str, stored.Interval]) -> Iterator[dict[str, Any]]:
    for metric, mean in utility.items():
        shared = {"metric": metric, "over": mean.over}
        yield {**shared, "of": "mean", "value": mean.mean, "low": mean.low, "high": mean.high, "n": mean.n}
        for owner, value in mean.per_client.items():
            yield {**shared, "of": owner, "value": value, "low": None, "high": None, "n": 1}


def _bytes(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    for number, (up, down) in enumerate(result.communication.per_round, start=1):
        yield {"round": number, "up": up, "down": down}


def _privacy(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    yield asdict(result.privacy)


def _verdicts(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    yield from (asdict(verdict) for verdict in result.verdicts)


def _audit(result: stored.RunResult) -> Iterator[dict[str, Any]]:
    yield from (asdict(row) for row in (result.audit.rows if result.audit is not None else ()))


_ROWS: Mapping[str, Any] = {
    "findings": _findings,
    "utility": _utility,
    "baselines": _baselines,
    "bytes": _bytes,
    "privacy": _privacy,
    "verdicts": _verdicts,
    "audit": _audit,
}


@dataclass(frozen=True)
class Comparison(Sequence[RunResult]):
    """Several runs side by side: a sequence of results, with one table over all of them."""

    results: tuple[RunResult, ...]
    labels: tuple[str, ...]

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def table(self, kind: TableKind = "findings") -> Rows:
        """Rows of all runs, each with its ``run``."""
        return Rows(
            {"run": label, **row}
            for label, one in zip(self.labels, self.results, strict=True)
            for row in one.table(kind)
        )

    def figure(self) -> Figure:
        """Accuracy and leakage against epsilon."""
        from fedprivacy.reporting.figures.frontier import frontier

        return frontier(self.results)

    def to_markdown(self) -> str:
        """One table of utility, bytes, epsilon and leakage, as Markdown."""
        from fedprivacy.reporting.compare import comparison_to_markdown

        return comparison_to_markdown(self.results, self.labels)

    def _repr_html_(self) -> str:
        from fedprivacy.reporting.compare import side_by_side
        from fedprivacy.reporting.html import document_to_html

        page = document_to_html(side_by_side(self.results, self.labels), {})
        return f'<iframe srcdoc="{escape(page)}" style="width:100%;height:400px;border:1px solid #ccc"></iframe>'


def load(path: str | Path) -> RunResult:
    """The stored result of a run folder (or of its ``result.json``); nothing is trained or attacked."""
    where = Path(path)
    where = where.parent if where.is_file() else where
    return RunResult.of(read_result(where), where)
