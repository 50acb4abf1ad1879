"""``fedprivacy.reproduce``: a paper's table beside ours, or a page of ours on any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedprivacy import catalog
from fedprivacy.cli.page import Found
from fedprivacy.config.base import UsageError
from fedprivacy.face.result import Rows
from fedprivacy.face.settings import configured
from fedprivacy.judge.result import Verdict
from fedprivacy.reporting.document import Document
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.tidy import tidy
from fedprivacy.study.paper import made as paper
from fedprivacy.study.paper.page import to_markdown
from fedprivacy.study.paper.recipe import Recipe
from fedprivacy.study.paper.recipe import recipe as paper_recipe
from fedprivacy.study.paper.rows import Row
from fedprivacy.study.tables import recipe as tables
from fedprivacy.study.tables.made import make
from fedprivacy.study.tables.page import document, figures


@dataclass(frozen=True)
class Reproduction:
    """The rows of a paper's table, ours beside the published, and what became of its claims."""

    recipe: Recipe
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def title(self) -> str:
        """What the table is about."""
        return self.recipe.title

    def table(self) -> Rows:
        """One row of the paper a row, as plain dictionaries."""
        return Rows(asdict(row) for row in self.rows)

    def to_markdown(self) -> str:
        """The tables with the verdicts, as Markdown."""
        return to_markdown(self.recipe, self.rows, self.verdicts)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True, eq=False)
class Page:
    """A page of ours made anew: its words, the numbers behind them, and figures as PNG by name."""

    title: str
    rows: Rows
    figures: Mapping[str, bytes]
    _document: Document

    def table(self) -> Rows:
        """All numbers of all runs, one a row, as plain dictionaries."""
        return self.rows

    def to_markdown(self) -> str:
        """The page as Markdown, without its figures."""
        return document_to_markdown(self._document)

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()


def reproduce(
    recipe: str,
    *,
    data_dir: str | Path | None = None,
    rows: Sequence[str] = (),
    seeds: int | None = None,
    image_size: int | None = None,
    rounds: int | None = None,
    out: str | Path = "runs",
    workers: int = 1,
    exact: bool = False,
    **settings: Any,
) -> Reproduction | Page:
    """A paper's table beside ours, with the ablations that could explain it away; or a page of ours on any data.

    ``reproduce("gupta2025", data_dir=DIR)`` is a paper's. ``reproduce("frontier", data=(x, y))`` is a page of rows and
    columns, as is a ``.toml`` file of one's own; ``settings`` are those of its runs, as in :func:`fedprivacy.run`, and
    ``rows`` words that the rows to make hold. What is finished is found again.
    """
    where = Path(out) / f"reproduce-{Path(recipe).stem}"
    if recipe in catalog.PAGES:
        raise UsageError(f"reproduce: {recipe} is a page that the command line makes: fedprivacy reproduce {recipe}.")
    if recipe in catalog.TABLES or recipe.endswith(".toml"):
        given = {"data_dir": data_dir, "image_size": image_size, "rounds": rounds, "seeds": seeds, **settings}
        return _page(recipe, rows, where, workers, exact, {k: v for k, v in given.items() if v is not None})
    chosen = paper_recipe(recipe)
    if settings:
        raise UsageError(f"reproduce: {recipe} is a paper's, with its own settings; leave out {', '.join(settings)}.")
    if data_dir is None or not Path(data_dir).expanduser().is_dir():
        raise UsageError(f"data_dir: there is no folder at {data_dir}.")
    changes: dict[str, Any] = {"data": {"data_dir": str(data_dir)}}
    if image_size is not None:
        changes["data"]["image_size"] = image_size
    if rounds is not None:
        changes["rounds"] = rounds
    found, verdicts = paper.reproduce(
        chosen,
        changes,
        rows,
        seeds or 1,
        where,
        Found(where / "games", workers, True, exact),
        workers,
        lambda *_: None,
        lambda _: None,
    )
    return Reproduction(chosen, tuple(found), tuple(verdicts))


def _page(
    recipe: str, rows: Sequence[str], where: Path, workers: int, exact: bool, settings: Mapping[str, Any]
) -> Page:
    page = tables.recipe(recipe)
    given = {name: str(value) if name == "data_dir" else value for name, value in settings.items()}
    base = configured(given, where, {"seeds": page.seeds, **page.base})
    found = Found(where, workers, True, exact)
    made = make(tables.lines(page, base, rows), found, lambda line: found.study(line.config), page.audited)
    done = [(one.line.title, one.result) for one in made if one.result is not None]
    numbers = tidy([result for _, result in done], [title for title, _ in done])
    return Page(
        page.title,
        Rows(map(asdict, numbers)),
        figures(page, made),
        document(page, made, base, f"reproduce({recipe!r})"),
    )
