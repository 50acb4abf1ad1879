"""A part from outside in a small federation: a protocol by itself, a defense between the wire and protocols of ours."""

from __future__ import annotations

from typing import Any

from fedprivacy import catalog
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.conformance.defense import Defended
from fedprivacy.study.conformance.federation import Stage
from fedprivacy.study.job import environment
from fedprivacy.wire.release import of_clients

KINDS = ("predictions", "weights", "update")
"""Kinds of message that a defense is tried on."""


def tried_protocol(name: str, config: RunConfig, options: dict[str, Any], seed: int) -> Stage:
    """The protocol of that name in the environment of ``config``."""
    return _staged(config.model_copy(update={"protocol": name, "options": options, "seed": seed}))


def tried_defense(name: str, config: RunConfig, options: dict[str, Any], epsilon: float | None) -> tuple[Defended, ...]:
    """The defense of that name on the first protocol of the catalog for each kind of message."""
    defense = config.defense.model_copy(update={"name": name, "options": options, "epsilon": epsilon})
    found = []
    for kind in KINDS:
        protocol = _first(kind, config)
        chosen = config.model_copy(update={"protocol": protocol, "defense": defense})
        stage = _staged(chosen)
        try:
            catalog.check(chosen)
            made = catalog.defense(chosen, stage.env)
            assert made is not None
            found.append(Defended(protocol, stage, made))
        except UsageError as error:
            found.append(Defended(protocol, stage, error))
    return tuple(found)


def _first(kind: str, config: RunConfig) -> str:
    """The first protocol whose clients send messages of a kind."""
    names = [name for name, card in CARDS.items() if not card.bound]
    sends = {n: catalog.wire(config.model_copy(update={"protocol": n})).releases for n in names}
    return next(n for n in names if any(r.kind == kind for r in of_clients(sends[n])))


def _staged(config: RunConfig) -> Stage:
    catalog.check(config)
    env, _ = environment(config, config.seed, None)
    return Stage(catalog.protocol(config), env, catalog.wire(config).releases)
