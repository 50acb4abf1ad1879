"""A paper's setting as data: rows by group, each with settings of its own, and the claims that are judged on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from fedprivacy import catalog
from fedprivacy.config.base import Part, UsageError, build, near_miss
from fedprivacy.config.run import Names, RunConfig
from fedprivacy.study import recipes

PLACE = ("data_dir", "image_size")
"""Settings that belong to the paper's own data."""


class Claim(Part):
    """What the paper says, and the rows that decide it."""

    about: Literal["accuracy", "bandwidth", "membership"]
    """What is compared: accuracy and AUC on unseen records; bytes of messages and delivered public records; how well
    an adversary tells members."""
    claim: str
    own: Names
    """Rows of the paper's own method."""
    rivals: Names
    """What it is said to beat."""
    controls: Names = ()
    """What else could explain it."""
    overturned_by: str = ""
    """What could still change the verdict."""


class PaperRow(Part):
    """One run."""

    key: str
    name: str
    group: str = ""
    """The table it stands in; empty: the paper's own."""
    protocol: str
    options: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    """Laid over those of all rows and over a user's changes."""
    published: dict[str, float] = Field(default_factory=dict)


class Recipe(Part):
    """A paper's setting and its rows."""

    name: str = ""
    title: str
    source: str
    claims: Annotated[tuple[Claim, ...], Field(strict=False)]
    groups: dict[str, str] = Field(default_factory=dict)
    """What further groups of rows are about."""
    default: Names = ()
    """Further groups that are run where no rows are named."""
    base: dict[str, Any]
    rows: Annotated[tuple[PaperRow, ...], Field(strict=False)]

    def config(self, row: PaperRow, changes: Mapping[str, Any]) -> RunConfig:
        """The configuration of one row, with the user's changes to the base.

        A row on other data than the paper's does not read the paper's folder, nor at another size.
        """
        if "dataset" in row.settings.get("data", {}):
            kept = {name: value for name, value in changes.get("data", {}).items() if name not in PLACE}
            changes = {**changes, "data": kept}
        content = merged(merged(self.base, changes), row.settings)
        content |= {"protocol": row.protocol, "options": row.options}
        return build(RunConfig, content, f"recipe {self.name}, row {row.key}")

    def chosen(self, words: Sequence[str]) -> list[PaperRow]:
        """Rows by key or by group; without any word those of the paper and of its default groups."""
        known = {row.key for row in self.rows} | {row.group for row in self.rows if row.group}
        unknown = [word for word in words if word not in known]
        if unknown:
            raise recipes.no_row(self.name, unknown, sorted(known), len(self.rows))
        if not words:
            return [row for row in self.rows if not row.group or row.group in self.default]
        return [row for row in self.rows if {row.key, row.group} & set(words)]


def recipe(name: str) -> Recipe:
    """A recipe that comes with the package."""
    if name not in catalog.RECIPES:
        raise UsageError(f"No recipe '{name}' exists. {near_miss(name, catalog.RECIPES)}")
    found = build(Recipe, {"name": name, **recipes.table(name)}, f"recipe {name}")
    keys = {row.key for row in found.rows}
    lost = [key for one in found.claims for key in (*one.own, *one.rivals, *one.controls) if key not in keys]
    if lost:
        raise UsageError(f"recipe {name}: a claim rests on row {lost[0]}, which there is not.")
    return found


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` under ``changes``, table by table; options are taken whole."""
    result = dict(base)
    for name, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(name), Mapping) and name != "options"
        result[name] = merged(result[name], value) if nested else value
    return result
