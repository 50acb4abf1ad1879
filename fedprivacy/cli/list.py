"""``fedprivacy list``: what exists, from the literal tables; no implementation is imported."""

from __future__ import annotations

import click

from fedprivacy import catalog
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.protocol_cards import CARDS, Card

KINDS = ("protocols", "attacks", "statistics", "datasets", "models", "defenses", "recipes")


@click.command("list")
@click.argument("kind", metavar="|".join(KINDS))
def command(kind: str) -> None:
    """What exists: protocols, attacks, statistics, datasets, models, defenses or recipes."""
    if kind not in KINDS:
        raise UsageError(f"list: there are no '{kind}'. {near_miss(kind, KINDS)}")
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if kind == "protocols":
        for name, card in CARDS.items():
            console.print(f"[bold]{name}[/bold]  {card.title}", highlight=False)
            table = Table.grid(padding=(0, 2))
            for label, value in _rows(card):
                table.add_row(f"  {label}", value)
            table.add_row(
                "  settings", ", ".join(_setting(n, f) for n, f in card.options.model_fields.items()) or "none"
            )
            console.print(table)
        return
    table = Table.grid(padding=(0, 2))
    for name, about in catalog.described(kind).items():
        table.add_row(f"[bold]{name}[/bold]", about)
    console.print(table)


def _rows(card: Card) -> list[tuple[str, str]]:
    public = ("labelled" if card.labelled else "unlabelled") if card.public_data else "not needed"
    return [
        ("crosses the wire", card.crosses_the_wire),
        ("public records", public),
        ("different models", "yes" if card.heterogeneous_models else "no"),
        ("clients weigh", card.weighting),
        ("source", card.source),
    ]


def _setting(name: str, field: object) -> str:
    return f"{name}={field.default}"  # type: ignore[attr-defined]
