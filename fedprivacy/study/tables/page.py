"""The page as a document: a table a group, one with a column a group, what was refused, and how it was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import Verdict
from fedprivacy.reporting.document import Block, Column, Document, Section, Table, row
from fedprivacy.reporting.document import Line as Sentence
from fedprivacy.reporting.figures.frontier import frontier_figure
from fedprivacy.reporting.figures.pictures import pictures_figure
from fedprivacy.reporting.pictures import panels
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.text import MISSING, counted, sentence
from fedprivacy.study.tables import cells, claims
from fedprivacy.study.tables.cells import Source
from fedprivacy.study.tables.made import Made
from fedprivacy.study.tables.recipe import Column as Shown
from fedprivacy.study.tables.recipe import Group, Recipe

SOURCE = ("adversary", "observes", "statistic")
VERDICTS = (
    "A verdict is of the claim on these data at this size, which are not the paper's. Each interval holds by itself: "
    "none is widened for the number of claims."
)


def document(page: Recipe, made: Sequence[Made], base: RunConfig, command: str) -> Document:
    """All of it; a column in which nothing stands is left out."""
    groups = [g for g in page.groups if any(one.line.group is g for one in made)]
    about = [Sentence(words, "quiet") for words in (*page.about, _game(base))]
    verdicts = tuple(verdict_line(replace(verdict, source="")) for verdict in judged(page, made))
    source = Sentence(f"{page.source}. {VERDICTS}", "quiet")
    sections = [Section("Verdicts", (*verdicts, source))] if verdicts else []
    about += [Sentence(f"Not the paper's in {name}: {words}.", "quiet") for name, words in _guessed(made).items()]
    sections += [Section("What is compared", tuple(about))]
    for group in groups if page.grouped else ():
        table = _grouped(page, [one for one in made if one.line.group is group and one.result])
        notes: list[Block] = [Sentence(group.about, "quiet")] if group.about else []
        sections.append(Section(group.name or page.title, (*notes, *([table] if table else []))))
    if page.across:
        sections.append(Section(" and ".join(page.across), (_across(page, made, groups),)))
    refused = dict.fromkeys(f"Refused: {one.line.title}: {one.refused}" for one in made if one.refused)
    minutes = sum(one.seconds for one in made) / 60
    end = f"{command} ({minutes:.1f} cpu-minutes; a stopped page goes on, and finished runs are found again)."
    told = (*(Sentence(words) for words in refused), Sentence(f"Made by: {end}", "quiet"))
    return Document(f"{page.title} ({base.data.dataset})", (*sections, Section("How it was made", told)))


def judged(page: Recipe, made: Sequence[Made]) -> tuple[Verdict, ...]:
    """What becomes of the page's claims."""
    ran = {(one.line.group.name, one.line.row.name): one.result for one in made if one.result is not None}
    level = made[0].line.config.attack.level if made else 0.95
    return claims.every(page.claims, ran, page.source, level)


def _guessed(made: Sequence[Made]) -> dict[str, str]:
    """By protocol, what its paper leaves open and was chosen here."""
    names = dict.fromkeys(one.line.config.protocol for one in made)
    return {name: CARDS[name].guessed for name in names if name in CARDS and CARDS[name].guessed}


def figures(page: Recipe, made: Sequence[Made]) -> dict[str, bytes]:
    """PNG by name: the frontier of each group, and the first pictures of each row that shows them."""
    drawn: dict[str, bytes] = {}
    for group in page.groups if page.figure == "frontier" else ():
        results = [one.result for one in made if one.line.group is group and one.result]
        if len(results) > 1:
            drawn[_slug(f"frontier {group.name}")] = frontier_figure(results)
    for one in made:
        if one.where is not None and one.line.row.figure:
            for panel in panels(one.where):
                drawn[_slug(f"pictures {one.line.row.name}")] = pictures_figure(panel.rows, panel.title)
    return drawn


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _game(base: RunConfig) -> str:
    """What every run shares unless a group or a row says otherwise."""
    data = base.data
    pool = "all records that are left" if data.candidates is None else f"{data.candidates:,} candidates each"
    return (
        f"Unless a row says otherwise: {data.dataset}, {counted(base.clients, 'client')} with {pool}, "
        f"{counted(base.rounds, 'round')}, model {base.training.model}, {counted(base.seeds, 'seed')}. Intervals: "
        f"{100 * base.attack.level:g}%, over seeds where there are several, else over what one run gives."
    )


def _entries(page: Recipe, one: Made) -> list[tuple[tuple[str, ...], Source | None]]:
    """The lines of a run: what names each, and which of its findings are meant."""
    assert one.result is not None
    name = one.line.row.name
    if not page.by_statistic:
        return [((name,), None)]
    return [((name, s.adversary, s.observation, s.statistic), s) for s in cells.sources(one.result)]


def _heads(page: Recipe) -> tuple[str, ...]:
    return (page.what, *SOURCE) if page.by_statistic else (page.what,)


def _grouped(page: Recipe, made: Sequence[Made]) -> Table | None:
    rows = []
    of_findings = [place for place, column in enumerate(page.columns) if column.show == "finding"]
    for one in made:
        for name, source in _entries(page, one):
            told = [_cell(page, place, one, source, made) for place in range(len(page.columns))]
            if not page.by_statistic or any(told[place] != MISSING for place in of_findings):
                rows.append((name, told))
    kept = [place for place in range(len(page.columns)) if any(told[place] != MISSING for _, told in rows)]
    if not rows:
        return None
    columns = (*_names(page), *(Column(page.columns[place].head, "right") for place in kept))
    shown = tuple(row((*name, *(told[place] for place in kept))) for name, told in rows)
    return Table(columns, shown, notes=_causes(page.columns, made))


def _causes(columns: Sequence[Shown], made: Sequence[Made]) -> tuple[str, ...]:
    """Why cells hold no number."""
    told = (cells.cause(column, one.result) for one in made if one.result for column in columns)
    return tuple(f"{cells.FAILED}: {sentence(why)}" for why in dict.fromkeys(filter(None, told)))


def _cell(page: Recipe, place: int, one: Made, source: Source | None, made: Sequence[Made]) -> str:
    column = page.columns[place]
    assert one.result is not None
    if column.show == "published":
        return one.line.row.published or MISSING
    rival = next((m.result for m in made if m.line.group is one.line.group and m.line.row.name == column.minus), None)
    return cells.text(column, one.result, source, rival)


def _across(page: Recipe, made: Sequence[Made], groups: Sequence[Group]) -> Table:
    """One column a group; cells of several columns stand beside each other."""
    shown = [place for head in page.across for place, column in enumerate(page.columns) if column.head == head]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for one in made:
        if one.result is None:
            found.setdefault(_padded(page, (one.line.row.name,)), {})[one.line.group.name] = "refused"
            continue
        for name, source in _entries(page, one):
            told = [_cell(page, place, one, source, made) for place in shown]
            if any(content != MISSING for content in told):
                found.setdefault(name, {})[one.line.group.name] = " / ".join(told)
    columns = (*_names(page), *(Column(group.name, "right") for group in groups))
    rows = tuple(row((*name, *(told.get(g.name, MISSING) for g in groups))) for name, told in found.items())
    return Table(columns, rows)


def _padded(page: Recipe, name: tuple[str, ...]) -> tuple[str, ...]:
    return (*name, *("" for _ in _heads(page)[len(name) :]))


def _names(page: Recipe) -> Iterator[Column]:
    return (Column(head, fold=True) for head in _heads(page))
