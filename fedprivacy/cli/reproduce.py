"""``fedprivacy reproduce``: a paper's table beside ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from fedprivacy import catalog
from fedprivacy.cli.cluster import cluster_options
from fedprivacy.cli.completion import names, of_catalog, papers_and_pages
from fedprivacy.cli.exact import exact_option
from fedprivacy.cli.say import put, say
from fedprivacy.cli.settings import paths
from fedprivacy.cli.written import Destination, written_options
from fedprivacy.config.base import UsageError, near_miss

if TYPE_CHECKING:
    from fedprivacy.judge.result import Verdict
    from fedprivacy.reporting.formats import Findings
    from fedprivacy.study.paper.recipe import Recipe
    from fedprivacy.study.paper.rows import Row


KEPT = "persistent"
"""Whether optimisers keep their moments on the pages with code of their own: one way for all protocols."""


@click.command("reproduce", cls=cloup.Command)
@click.argument("recipe", shell_complete=names(papers_and_pages))
@cloup.option_group(
    "A paper's table, or a page of ours",
    click.option("--data-dir", metavar="DIR", type=click.Path(), help="Folder that holds the data of the paper."),
    click.option("--seeds", type=click.IntRange(1), metavar="N", help="[default: the page's own, or 1]"),
    click.option("--rows", default="", metavar="A,B,...", help="Only these rows of a table (of leakage: protocols)."),
    click.option("--image-size", type=int, default=None, metavar="N", help="Smaller images: faster, another task."),
    click.option("--rounds", type=int, default=None, metavar="N", help="Other than the paper's."),
    click.option(
        "--set",
        "given",
        multiple=True,
        metavar="PATH=VALUE",
        help="Another setting of a paper's rows, such as training.lr=0.01; repeatable.",
    ),
    click.option("--curves", is_flag=True, help="Also follow one seed of a paper's rows epoch by epoch, as a figure."),
)
@cloup.option_group(
    "A page of ours alone",
    click.option("--dataset", metavar="NAME", help="On these data.", shell_complete=of_catalog("datasets")),
    click.option("--config", metavar="FILE.toml", type=click.Path(), help="Further settings of its runs."),
    click.option("--effort", type=click.Choice(["default", "thorough"]), help="[default: the page's own]"),
    click.option("--followed", type=click.IntRange(1), metavar="N", help="Clients attacked [default: the page's own]."),
    click.option("--shares", metavar="A,B,...", help="Shares of the pool known [.1,.25,.5,.75,1; leakage: 1]."),
    click.option("--epsilon", "budgets", metavar="A,B,...", help="Noise on predictions [default: 8,4,1]."),
)
@cloup.option_group(
    "Carrying it out",
    click.option("--out", default="runs", show_default=True, metavar="DIR"),
    click.option("--workers", type=click.IntRange(1), default=None, metavar="N", help="[default: number of cores]"),
    *cluster_options(),
    exact_option(),
    click.option("--fresh", is_flag=True, help="Replace the file at --output whatever it is."),
    *written_options(),
)
def command(
    recipe: str,
    data_dir: str | None,
    seeds: int | None,
    rows: str,
    image_size: int | None,
    rounds: int | None,
    given: tuple[str, ...],
    curves: bool,
    out: str,
    workers: int | None,
    exact: bool,
    fresh: bool,
    form: str | None,
    output: Path | None,
    **of_pages: Any,
) -> None:
    """A paper's table beside ours, or a page of ours on any data. What is finished is found again.

    \b
    fedprivacy reproduce gupta2025 --data-dir DIR --rows C,F,H
    fedprivacy reproduce gupta2025 --data-dir DIR --rows C,F --set training.lr=0.0003
    fedprivacy reproduce verdict --dataset mnist5k --seeds 5
    fedprivacy reproduce leakage --rows mutual,fml --seeds 5
    fedprivacy reproduce frontier --dataset npz --data-dir FILE.npz
    fedprivacy reproduce PAGE.toml

    PAGE.toml is a page of your own, in the layout of those in fedprivacy/study/recipes.
    """
    to = Destination.of(form, output, fresh)
    if recipe in catalog.PAGES | catalog.TABLES or recipe.endswith(".toml"):
        if given or curves:
            flag = "--set" if given else "--curves"
            raise UsageError(f"{flag}: it belongs to a paper's recipe; {recipe} takes settings from --config.")
        place = Path(out) / f"reproduce-{Path(recipe).stem}"
        _page(recipe, data_dir, seeds, rows, image_size, rounds, place, workers, exact, to, of_pages)
        return
    seeds = seeds or 1
    if recipe not in catalog.RECIPES:
        known = catalog.RECIPES | catalog.PAGES | catalog.TABLES
        raise UsageError(f"No recipe '{recipe}' exists. {near_miss(recipe, known)}")
    for name, value in of_pages.items():
        if value is not None:
            flag = "epsilon" if name == "budgets" else name
            raise UsageError(f"--{flag}: recipe {recipe} is a paper's, with its own settings.")
    if data_dir is None:
        raise UsageError(f"recipe {recipe} reads the paper's data: give --data-dir DIR.")
    if not Path(data_dir).expanduser().is_dir():
        raise UsageError(f"--data-dir: there is no folder at {data_dir}.")
    changes = paths(given, "--set")
    changes.setdefault("data", {}).update({"data_dir": data_dir} | ({"image_size": image_size} if image_size else {}))
    if rounds is not None:
        changes["rounds"] = rounds
    from fedprivacy.study.paper import recipe as recipes

    chosen = recipes.recipe(recipe)
    wanted = _words(rows)
    chosen.chosen(wanted)
    from fedprivacy.cli.carry_out import clear_ends
    from fedprivacy.cli.page import Found
    from fedprivacy.cli.progress import Display
    from fedprivacy.study.paper import made, page

    where, cores = Path(out) / f"reproduce-{recipe}", workers or os.cpu_count() or 1
    with Display(quiet=False) as display, clear_ends("the same command; finished rows are found again"):
        found, verdicts = made.reproduce(
            chosen,
            changes,
            wanted,
            seeds,
            where,
            Found(where / "games", cores, exact=exact),
            cores,
            display.tick,
            display.start,
        )
        told = _followed(chosen, changes, wanted, where / "curves") if curves else ""

    def findings() -> Findings:
        from fedprivacy.reporting.formats import of_table

        markdown = page.to_markdown(chosen, found, verdicts) + told
        return of_table(chosen.title, page.tidied(found), verdicts, markdown=markdown)

    def show() -> None:
        _show(chosen, found, verdicts, seeds)
        put(told)

    to.deliver(findings, show)


def _words(rows: str) -> list[str]:
    """The rows that are asked for; none for all. UsageError where something was given that names none."""
    words = [word.strip() for word in rows.split(",") if word.strip()]
    if rows and not words:
        raise UsageError(f"--rows: '{rows}' names no row; leave it out for all.")
    return words


def _followed(chosen: Recipe, changes: dict[str, Any], wanted: Sequence[str], where: Path) -> str:
    """The first seed of every row that is not attacked, followed: a figure in ``where``, and a table."""
    from fedprivacy import folder
    from fedprivacy.reporting.figures.epochs import epochs_figure
    from fedprivacy.study.paper.curves import follow, to_markdown

    pairs = [(row, chosen.config(row, changes)) for row in chosen.chosen(wanted)]
    seen = [follow(row.key, row.name, config, where) for row, config in pairs if not config.attack.attacks]
    names = {one.key: f"{one.key}: {one.name}" for one in seen}
    picture = where / "curves.png"
    lines = {names[one.key]: one.trained for one in seen}, {names[one.key]: one.between() for one in seen}
    folder.write_bytes(picture, epochs_figure(*lines, chosen.title))
    say(f"Loss by epoch and phase: {picture}")
    return f"\n### Loss by epoch and phase, seed 0\n\n{to_markdown(seen)}"


def _show(chosen: Recipe, found: Sequence[Row], verdicts: Sequence[Verdict], seeds: int) -> None:
    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.terminal import render_document
    from fedprivacy.study.paper.page import document

    render_document(document(chosen, found, verdicts, seeds), Output())


def _page(
    recipe: str,
    data_dir: str | None,
    seeds: int | None,
    rows: str,
    image_size: int | None,
    rounds: int | None,
    out: Path,
    workers: int | None,
    exact: bool,
    to: Destination,
    given: dict[str, Any],
) -> None:
    """Make a page of ours: the settings of its runs are the page's or the defaults, a file's, and the flags."""
    from fedprivacy.cli.page import Found, leakage, numbers, table, verdict
    from fedprivacy.cli.settings import configuration
    from fedprivacy.study.tables.recipe import recipe as table_recipe
    from fedprivacy.study.verdict.plan import BUDGETS, SHARES

    own = recipe not in catalog.PAGES
    flags = {
        "config": given["config"],
        "data__dataset": given["dataset"],
        "data__data_dir": data_dir,
        "data__image_size": None if image_size is None else str(image_size),
        "rounds": None if rounds is None else str(rounds),
        "training__optimizer_state": None if own else KEPT,
        "attack__effort": given["effort"] or (None if own else "thorough"),
        "attack__followed": given["followed"] or (None if own else 1),
    }
    if given["budgets"] is not None and recipe != "verdict":
        raise UsageError("--epsilon: it belongs to recipe verdict.")
    if given["shares"] is not None and own:
        raise UsageError("--shares: it belongs to recipes verdict and leakage.")
    shares = None if given["shares"] is None else numbers("--shares", given["shares"], 0, 1)
    only = _words(rows)
    found = Found(out, workers or os.cpu_count() or 1, exact=exact)
    if own:
        page = table_recipe(recipe)
        base = configuration({**flags, "seeds": seeds}, {"seeds": page.seeds, **page.base})
        table(page, recipe, base, only, found, to)
        return
    base = configuration(flags)
    if recipe == "leakage":
        from fedprivacy.study.leakage.measured import SHARES as WHOLE

        leakage(base, only, seeds or 1, shares or WHOLE, found, to)
        return
    if only:
        raise UsageError(f"--rows: recipe {recipe} has no rows.")
    budgets = BUDGETS if given["budgets"] is None else numbers("--epsilon", given["budgets"], 0, 1e6)[::-1]
    verdict(base, seeds or 1, shares or SHARES, budgets, found, to)
