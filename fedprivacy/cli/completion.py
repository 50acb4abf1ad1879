"""Values that a shell completes: what the catalog knows, one name or the last of several.

The names are the catalog's literal tables, so that nothing heavy is imported between two key strokes.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem
from pydantic.fields import FieldInfo

from fedprivacy import catalog
from fedprivacy.adversary.position import EAVESDROPPER
from fedprivacy.cli.settings import kinds_of
from fedprivacy.config.inversion import METHODS
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.wire.parties import SERVER

Completed = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

KINDS: Mapping[str, str] = {
    "data.dataset": "datasets",
    "training.model": "models",
    "training.client_models": "models",
    "attack.statistics": "statistics",
    "attack.headline": "statistics",
    "defense.name": "defenses",
}
"""Setting -> what ``fedprivacy list`` calls the names it takes."""

PATHS = ("data.data_dir",)
"""Settings that are a file or a folder."""


def of_setting(path: str, field: FieldInfo) -> Completed | None:
    """How the setting at ``path`` is completed; None where there is nothing to offer."""
    if path in PATHS:
        return _files
    if path in KINDS:
        return of_catalog(KINDS[path])
    if path in NAMED:
        return names(NAMED[path])
    literals = [kind for kind in kinds_of(field.annotation) if typing.get_origin(kind) is typing.Literal]
    choices = [str(choice) for kind in literals for choice in typing.get_args(kind)]
    return names(lambda: choices) if choices else None


def names(known: Callable[[], Mapping[str, str] | Iterable[str]]) -> Completed:
    """Completes to what ``known`` gives (names, or name -> one line); behind a comma to the next of several."""

    def complete(_context: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        taken = set(before.split(","))
        found = known()
        about = found if isinstance(found, Mapping) else dict.fromkeys(found, "")
        return [
            CompletionItem(f"{before}{comma}{name}", help=text or None)
            for name, text in about.items()
            if name.startswith(last) and name not in taken
        ]

    return complete


def of_catalog(kind: str) -> Completed:
    """Completes to what ``fedprivacy list KIND`` shows."""
    return names(lambda: catalog.described(kind))


def protocols() -> dict[str, str]:
    """Every protocol with its title."""
    return {name: card.title for name, card in CARDS.items()}


def papers_and_pages() -> dict[str, str]:
    """What ``fedprivacy reproduce`` makes."""
    return catalog.RECIPES | catalog.PAGES | catalog.TABLES


def _seats() -> list[str]:
    return [SERVER, f"active-{SERVER}", "client-0", EAVESDROPPER]


def _attacks() -> dict[str, str]:
    return {**catalog.ATTACKS, catalog.EVERY: "every one that the protocol allows"}


def _observations() -> list[str]:
    from fedprivacy.adversary.observations import OBSERVATIONS

    return list(OBSERVATIONS)


NAMED: Mapping[str, Callable[[], Mapping[str, str] | Iterable[str]]] = {
    "protocol": protocols,
    "attack.attacks": _attacks,
    "attack.adversaries": _seats,
    "attack.observations": _observations,
    "attack.inversion.methods": lambda: METHODS,
}
"""Setting -> the names it takes, which ``fedprivacy list`` does not show."""


def _files(_context: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    return [CompletionItem(typed, type="file")]
