"""The rows of every page and paper's table that ``fedprivacy reproduce --rows`` chooses from."""

from __future__ import annotations

from fedprivacy import catalog
from fedprivacy.cli.completion import papers_and_pages
from fedprivacy.config.base import UsageError, near_miss

Rows = list[tuple[str, list[str]]]
"""Title of a group and its rows, in order."""


def recipe_rows(recipe: str) -> Rows:
    """Those of ``recipe``, or of a page in a file that ends in .toml. UsageError where there is none."""
    if recipe in catalog.RECIPES:
        return _of_paper(recipe)
    if recipe == "leakage":
        from fedprivacy.study import recipes

        return [("protocols, any of `fedprivacy list protocols`; without --rows", recipes.table(recipe)["protocols"])]
    if recipe in catalog.PAGES:
        raise UsageError(f"list recipes: recipe {recipe} has no rows.")
    if recipe not in catalog.TABLES and not recipe.endswith(".toml"):
        raise UsageError(f"No recipe '{recipe}' exists. {near_miss(recipe, papers_and_pages())}")
    from fedprivacy.study.tables.recipe import recipe as page_of
    from fedprivacy.study.tables.recipe import rows_of

    page = page_of(recipe)
    return [(group.name, [row.name for row in rows_of(page, group)]) for group in page.groups]


def _of_paper(recipe: str) -> Rows:
    from fedprivacy.study.paper.recipe import recipe as paper

    found = paper(recipe)
    groups = dict.fromkeys(row.group for row in found.rows)
    return [
        (
            f"{group}: {found.groups.get(group, '')}" if group else found.title,
            [f"{row.key}: {row.name}" for row in found.rows if row.group == group],
        )
        for group in groups
    ]
