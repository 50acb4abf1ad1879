"""A page as data: groups of rows, each with settings of its own, and columns that pick from what a run found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedprivacy.config.base import Part, UsageError, build
from fedprivacy.config.run import Names, RunConfig
from fedprivacy.config.toml import read_toml
from fedprivacy.study import recipes
from fedprivacy.study.audit.unchosen import unchosen


class Entry(Part):
    """Settings under a name."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    """In the layout of a settings file. A protocol or a defense that is named takes the place of another with all its
    options; whatever else stands here is laid over what is there."""


class Row(Entry):
    """One run."""

    figure: bool = False
    """Whether the pictures of this run are drawn."""
    published: str = ""
    """The paper's own figures, as it prints them."""


class Group(Entry):
    """Rows that stand in one table; without rows of its own a group has those of the page."""

    about: str = ""
    rows: Annotated[tuple[Row, ...], Field(strict=False)] = ()


class Column(Part):
    """What of a result is shown under ``head``; of several metrics or statistics the first that a run has."""

    head: str
    show: Literal[
        "utility",
        "finding",
        "headline",
        "count",
        "part",
        "bytes",
        "epsilon",
        "allowed",
        "verdict",
        "published",
        "bound",
        "reachable",
        "coins",
        "estimate",
        "seconds",
    ]
    """published: what a row says of its paper. count: of what a finding rests on. part: a share as a count of that.
    seconds: of processor time, of the attack where there is one. allowed: the largest AUC that the claim leaves to any
    attack on one record. Of an audit: bound and reachable of the judged test whose name begins with ``metric``, coins,
    and estimate with its interval."""
    metric: Names = ()
    """Of utility, findings (* stands for any text), bytes (up, down, both, payload, public), or words in the claim of a
    verdict."""
    statistic: Names = ()
    seat: str = ""
    """Which adversary's, such as passive server; empty: any."""
    minus: str = ""
    """Name of a row of the same group whose value is taken away, paired by seed."""
    scale: float = 1.0
    digits: int = Field(default=3, ge=0, le=6)
    interval: bool = True
    sign: bool = False
    """Whether a plus is written."""
    each: Literal["run", "message"] = "run"
    """Bytes of the whole run, or of one client in one round."""
    words: dict[str, str] = Field(default_factory=dict)
    """How a verdict is told: the first key that stands in it, or in its reason, decides."""


class Claim(Part):
    """One claim of a paper, and the two rows that decide it."""

    says: str
    """The claim, with the margin that is asked where the paper names none."""
    published: str = "no figure of it could be read"
    """The paper's own figures."""
    group: str
    row: str
    against: str
    show: Literal["utility", "bytes", "seconds"] = "utility"
    metric: Names = ()
    """Of utility the first that a row has, each row its own, or of bytes (up, down, both, payload, public); of seconds,
    the processor time of whole runs, there is but one."""
    least: float | None = None
    """The value of ``row`` minus that of ``against`` (of bytes and seconds: over it) is at least this."""
    most: float | None = None
    """It is at most this."""

    @model_validator(mode="after")
    def _names_what_it_judges(self) -> Claim:
        if (self.show == "seconds") == bool(self.metric):
            need = "takes no metric" if self.metric else f"needs a metric of {self.show}"
            raise ValueError(f"claim {self.says!r} {need}")
        return self


class Recipe(Part):
    """A whole page."""

    title: str
    about: Names = ()
    """Paragraphs: what is compared, and how to read it. Results belong to those who ran it."""
    what: str = "what"
    """Head of the column that names rows."""
    seeds: int = Field(default=1, ge=1)
    """Repetitions, unless others are asked for."""
    base: dict[str, Any] = Field(default_factory=dict)
    groups: Annotated[tuple[Group, ...], Field(strict=False)]
    rows: Annotated[tuple[Row, ...], Field(strict=False)] = ()
    columns: Annotated[tuple[Column, ...], Field(strict=False)]
    by_statistic: bool = False
    """One line for each adversary, observation and statistic of a run, in the place of one line a run."""
    grouped: bool = True
    """Whether each group has a table."""
    across: Names = ()
    """Heads of the columns that are shown in a table with a column a group."""
    figure: Literal["none", "frontier"] = "none"
    """What is drawn of each group."""
    audited: bool = False
    """Whether each row's claim is audited; what a row does not say is then what `fedprivacy audit` would choose."""
    source: str = ""
    """The paper that the page is about."""
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    """What it says, to be held against the rows."""


@dataclass(frozen=True)
class Line:
    """One run of the page."""

    group: Group
    row: Row
    config: RunConfig

    @property
    def title(self) -> str:
        """Group and row."""
        return title(self.group, self.row)


def title(group: Group, row: Row) -> str:
    """What a row is called: its group and its name, once where they are the same."""
    return ": ".join(dict.fromkeys(filter(None, (group.name, row.name))))


def recipe(name: str) -> Recipe:
    """That of the package under ``name``, or of a file that ends in .toml."""
    content = read_toml(Path(name), "reproduce") if name.endswith(".toml") else recipes.table(name)
    return checked(build(Recipe, content, f"recipe {name}"), name)


def checked(page: Recipe, name: str) -> Recipe:
    """``page`` itself. UsageError where a column or a row that it names is not there."""
    heads = [column.head for column in page.columns]
    unknown = [f"across: no column '{head}'" for head in page.across if head not in heads]
    for group in page.groups:
        rows = [row.name for row in rows_of(page, group)]
        if not rows:
            unknown.append(f"group '{group.name}' has no rows")
        unknown += [
            f"column '{c.head}': group '{group.name}' has no row '{c.minus}'"
            for c in page.columns
            if c.minus and rows and not any(c.minus in [r.name for r in rows_of(page, g)] for g in page.groups)
        ]
    told = {(group.name, row.name) for group in page.groups for row in rows_of(page, group)}
    unknown += [
        f"claim '{claim.says}': group '{claim.group}' has no row '{row}'"
        for claim in page.claims
        for row in (claim.row, claim.against)
        if (claim.group, row) not in told
    ]
    if unknown:
        raise UsageError(f"recipe {name}: {unknown[0]}.")
    return page


def rows_of(page: Recipe, group: Group) -> tuple[Row, ...]:
    """A group's own rows, or those of the page."""
    return group.rows or page.rows


def lines(page: Recipe, base: RunConfig, only: Sequence[str] = (), name: str = "this page") -> list[Line]:
    """Every run, ``base`` under the settings of its group and row; ``only`` those whose title holds one of these words.

    UsageError where settings are none, or no row of the page, called ``name``, holds one of the words.
    """
    every = [(group, row, title(group, row)) for group in page.groups for row in rows_of(page, group)]
    unknown = [words for words in only if not any(words.lower() in told.lower() for *_, told in every)]
    if unknown:
        known = [word for group, row, _ in every for word in (row.name, group.name)]
        raise recipes.no_row(name, unknown, known, len(every))
    asked = [(group, row) for group, row, told in every if not only or any(w.lower() in told.lower() for w in only)]
    return [_line(page, base, group, row) for group, row in asked]


def _line(page: Recipe, base: RunConfig, group: Group, row: Row) -> Line:
    plain, chosen = base.model_dump(mode="json"), laid_over(group.settings, row.settings)
    if page.audited:
        chosen = _audit(plain, chosen)
    return Line(group, row, build(RunConfig, laid_over(plain, chosen), f"{group.name}, {row.name}"))


def _audit(plain: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with what an audit of them chooses by itself, over ``plain``."""

    def chosen(content: Mapping[str, Any]) -> RunConfig:
        return build(RunConfig, laid_over(plain, _merged(content, settings)), "recipe")

    return _merged(unchosen(chosen, "protocol" not in settings), settings)


def _merged(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Both, ``settings`` where they differ."""
    found = dict(content)
    for name, value in settings.items():
        before = found.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = _merged(before, value)
        found[name] = value
    return found


def laid_over(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` under ``settings``; a part that is named anew brings its options along."""
    found = dict(content)
    if "protocol" in settings:
        found["options"] = {}
    for name, value in settings.items():
        before = found.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            kept = {key: old for key, old in before.items() if key == "delta"} if "name" in value else before
            found[name] = laid_over(kept, value)
        else:
            found[name] = value
    return found
