"""A configuration resolved once: from names and settings to a :class:`Study`. No torch, no data.

Every usage error that needs neither is raised here, in one pass; after it nobody looks a name up again. A job in
another process resolves the same configuration from its JSON.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from fedprivacy import catalog, parts
from fedprivacy.adversary.sight import Played, Wire
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.named import named
from fedprivacy.config.run import RunConfig
from fedprivacy.data import names as data
from fedprivacy.data import needs
from fedprivacy.defenses import names as defenses
from fedprivacy.study import check
from fedprivacy.study.resolved import Study, Yardstick
from fedprivacy.study.seats import seats_of

PUBLIC_PASSES = ("public_epochs", "distill_epochs", "digest_epochs", "server_epochs")


def resolve(config: RunConfig) -> Study:
    """The study of ``config``. UsageError for everything that can be found wrong without torch or data."""
    data.check(config.data)
    if config.attack.payloads:
        from fedprivacy.recording import payloads

        payloads.known(config.attack.payloads)
    options = catalog.options(config.protocol, config.options)
    check.settings(config)
    wire = _wire(config, options)
    check.what_is_sent(config, wire, options)
    check.topology(config, wire)
    check.guesses(config)
    check.stated_labels(config)
    seats, own = seats_of(config.attack, config.data, wire), getattr(options, "options", options)
    needs.check(config.data, config.clients, config.rounds)
    return Study(
        config,
        parts.fingerprint(named(config)),
        wire,
        seats,
        MappingProxyType({} if wire.silent else _baselines(config, own)),
        sum(int(getattr(own, name, 0)) for name in PUBLIC_PASSES),
    )


def _wire(config: RunConfig, options: Any) -> Wire:
    """What crosses the wire, as the protocol and the defense declare it."""
    federation = FederationSettings.of(config)
    known: tuple[Played, ...] = ("training", "answers")
    if catalog.from_outside(config.protocol):
        from fedprivacy.federation.interfaces import declared
        from fedprivacy.protocols import outside

        releases = declared(options, federation)
        known = outside.played(options, releases)
    else:
        releases = options.releases(federation)
    defended, coins = defenses.defended(config.defense), config.canaries.coins
    return Wire.under(config.protocol, federation, releases, defended, config.defense.name, known, coins)


def _baselines(config: RunConfig, options: Any) -> dict[str, Yardstick]:
    """No exchange, and no exchange with the same public labels."""
    bare = config.model_copy(update={"attack": type(config.attack)(), "defense": type(config.defense)()})
    alone = catalog.lower_bound()
    plain = bare.model_copy(update={"protocol": alone, "options": {}})
    found = {alone: Yardstick(plain, "no exchange, same private data")}
    if getattr(options, "public_labels", False):
        asked = {"public_labels": True, "public_epochs": getattr(options, "public_epochs", 1)}
        labelled = bare.model_copy(update={"protocol": alone, "options": asked})
        found[f"{alone} + public labels"] = Yardstick(labelled, "no exchange, same private and public labels")
    return found
