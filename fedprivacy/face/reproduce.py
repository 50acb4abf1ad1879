"""``fedprivacy.reproduce``: a paper's table beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedprivacy import catalog
from fedprivacy.config.base import UsageError
from fedprivacy.face.result import Rows
from fedprivacy.judge.result import Verdict
from fedprivacy.study import reproduce as recipes


@dataclass(frozen=True)
class Reproduction:
    """The rows of a paper's table, ours beside the published, and what became of its claim."""

    title: str
    rows: tuple[recipes.Row, ...]
    verdicts: tuple[Verdict, ...]
    clients: int

    def table(self) -> Rows:
        """One row of the paper a row, as plain dictionaries."""
        return Rows(asdict(row) for row in self.rows)

    def to_markdown(self) -> str:
        """The table with its verdict, as Markdown."""
        return recipes.to_markdown(self.rows, self.verdicts, self.clients)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def reproduce(
    recipe: str,
    *,
    data_dir: str | Path,
    rows: Sequence[str] = (),
    seeds: int = 1,
    image_size: int | None = None,
    rounds: int | None = None,
    out: str | Path = "runs",
    workers: int = 1,
) -> Reproduction:
    """A paper's table beside ours, with the ablations that could explain it away. Finished rows are found again."""
    if recipe in catalog.PAGES:
        raise UsageError(f"reproduce: {recipe} is a page that the command line makes: fedprivacy reproduce {recipe}.")
    chosen = recipes.recipe(recipe)
    if not Path(data_dir).expanduser().is_dir():
        raise UsageError(f"data_dir: there is no folder at {data_dir}.")
    changes: dict[str, Any] = {"data": {"data_dir": str(data_dir)}}
    if image_size is not None:
        changes["data"]["image_size"] = image_size
    if rounds is not None:
        changes["rounds"] = rounds
    where = Path(out) / f"reproduce-{recipe}"
    keys = [key.upper() for key in rows]
    found, verdicts = recipes.reproduce(chosen, changes, keys, seeds, where, workers, lambda *_: None, lambda _: None)
    return Reproduction(chosen.title, tuple(found), tuple(verdicts), int(chosen.base["clients"]))
