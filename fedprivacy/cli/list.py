"""``fedprivacy list``: what exists, from the literal tables; no implementation is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from fedprivacy import catalog
from fedprivacy.cli.completion import names, papers_and_pages, protocols
from fedprivacy.cli.settings import allowed, shown
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.protocol_cards import CARDS, Card

if TYPE_CHECKING:
    from rich.console import Console

KINDS = ("protocols", "attacks", "statistics", "datasets", "models", "defenses", "recipes")


def _named(context: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    kinds = {"protocols": protocols, "recipes": papers_and_pages}
    known = kinds.get(context.params.get("kind") or "")
    return names(known)(context, param, typed) if known else []


@click.command("list")
@click.argument("kind", metavar="|".join(KINDS), shell_complete=names(lambda: KINDS))
@click.argument("name", required=False, metavar="[NAME]", shell_complete=_named)
def command(kind: str, name: str | None) -> None:
    """What exists: protocols, attacks, statistics, datasets, models, defenses or recipes.

    `list protocols NAME` explains the settings of one protocol, with the values they take; `list recipes NAME` shows
    the rows of a page, of which `reproduce --rows` makes some.
    """
    if kind not in KINDS:
        raise UsageError(f"list: there are no '{kind}'. {near_miss(kind, KINDS)}")
    if name is not None and kind not in ("protocols", "recipes"):
        raise UsageError(f"list {kind}: takes no name; `list protocols NAME` and `list recipes NAME` do.")
    if name is not None and kind == "protocols" and name not in CARDS:
        raise UsageError(f"list protocols: no protocol '{name}' exists. {near_miss(name, CARDS)}")
    from rich.table import Table

    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.bare import print_bare

    console = Output()
    if name is not None:
        (_explain if kind == "protocols" else _show_rows)(console, name)
        return
    if kind == "protocols":
        for each, card in CARDS.items():
            console.print(f"[bold]{each}[/bold]  {card.title}", highlight=False)
            table = Table.grid(padding=(0, 2))
            for label, value in _rows(card):
                table.add_row(f"  {label}", value)
            table.add_row("  settings", ", ".join(card.options.model_fields) or "none")
            print_bare(console, table)
        console.print("\n`fedprivacy list protocols NAME` explains the settings of one protocol.", highlight=False)
        return
    table = Table.grid(padding=(0, 2))
    for each, about in catalog.described(kind).items():
        table.add_row(f"[bold]{each}[/bold]", about)
    print_bare(console, table)


def _rows(card: Card) -> list[tuple[str, str]]:
    public = ("labelled" if card.labelled else "unlabelled") if card.public_data else "not needed"
    return [
        ("crosses the wire", card.crosses_the_wire),
        ("public records", public),
        ("different models", "yes" if card.heterogeneous_models else "no"),
        ("clients weigh", card.weighting),
        ("source", card.source),
        *([("not the paper's", card.guessed)] if card.guessed else []),
    ]


def _show_rows(console: Console, recipe: str) -> None:
    """The rows of a paper's table or a page, by group."""
    from fedprivacy.cli.recipe_rows import recipe_rows

    for group, rows in recipe_rows(recipe):
        console.print(group, style="bold", markup=False, highlight=False)
        for row in rows:
            console.print(f"  {row}", markup=False, highlight=False, soft_wrap=True)


def _explain(console: Console, name: str) -> None:
    """One protocol, and each of its settings: values, default, meaning."""
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from fedprivacy.reporting.bare import print_bare

    card = CARDS[name]
    console.print(f"[bold]{name}[/bold]  {card.title}", highlight=False)
    table = Table.grid(padding=(0, 2))
    for label, value in _rows(card):
        table.add_row(f"  {label}", value)
    print_bare(console, table)
    if not card.options.model_fields:
        console.print("  It has no settings of its own.", highlight=False)
        return
    console.print("\nSettings, given as --set NAME=VALUE or under [options] in a file:", markup=False, highlight=False)
    for each, field in card.options.model_fields.items():
        value = field.get_default()
        default = str(value).lower() if isinstance(value, bool) else shown(value) or "none"
        line = f"[bold]{each}[/bold]  {escape(allowed(field))}; default {default}"
        about = " ".join((field.description or "").split())
        print_bare(console, Padding(Text.from_markup(line), (0, 0, 0, 2)))
        print_bare(console, Padding(Text(about), (0, 0, 0, 6)))
