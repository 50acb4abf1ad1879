"""A configuration resolved once: from names and settings to a :class:`Study`. No torch, no data.

Every usage error that needs neither is raised here, in one pass; after it nobody looks a name up again. A job in
another process resolves the same configuration from its JSON, and all jobs there share what it found.
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
from fedprivacy.study import check, variants
from fedprivacy.study.resolved import Study
from fedprivacy.study.seats import seats_of

PUBLIC_PASSES = ("public_epochs", "distill_epochs", "digest_epochs", "server_epochs")

KEPT = 8
"""Studies that a process remembers: that of a run, and of what it is compared with."""

_known: dict[str, Study] = {}


def resolve(config: RunConfig) -> Study:
    """The study of ``config``. UsageError for everything that can be found wrong without torch or data."""
    wire, options = _declared(config)
    check.what_is_sent(config, wire, options)
    check.topology(config, wire)
    check.guesses(config)
    check.stated_labels(config, wire)
    seats, own = seats_of(config.attack, config.data, wire), getattr(options, "options", options)
    needs.check(config.data, config.clients, config.rounds)
    baseline = config.model_copy(update={"training": wire.federation.training})
    return Study(
        config,
        parts.fingerprint(named(config)),
        wire,
        seats,
        MappingProxyType({} if wire.silent else variants.baselines(baseline, own)),
        sum(int(getattr(own, name, 0)) for name in PUBLIC_PASSES),
    )


def wire_of(config: RunConfig) -> Wire:
    """What crosses the wire, before it is asked whether all that ``config`` wants of it can be had."""
    return _declared(config)[0]


def remember(study: Study) -> None:
    """Let the jobs of ``study`` in this process take it up (:func:`of_job`) instead of resolving it again."""
    text = study.config.model_dump_json()
    _known.pop(text, None)
    _known[text] = study
    while len(_known) > KEPT:
        del _known[next(iter(_known))]


def of_job(text: str) -> Study:
    """The study of a configuration in JSON, resolved once a process."""
    if text not in _known:
        remember(resolve(RunConfig.model_validate_json(text)))
    return _known[text]


def _declared(config: RunConfig) -> tuple[Wire, Any]:
    """What crosses the wire, as the protocol and the defense declare it, and the protocol's settings."""
    data.check(config.data)
    for name in config.attack.payloads:
        parts.exists("payload", name, ())
    if config.attack.payloads:
        from fedprivacy.recording import payloads

        payloads.known(config.attack.payloads)
    options = catalog.options(config.protocol, config.options)
    check.settings(config)
    own = getattr(options, "options", options)
    federation = FederationSettings.of(config, bool(getattr(own, "stateless", False)))
    known: tuple[Played, ...] = ("training", "answers")
    if catalog.from_outside(config.protocol):
        from fedprivacy.federation.interfaces import declared
        from fedprivacy.protocols import outside

        releases = declared(options, federation)
        known = outside.played(options, releases)
    else:
        releases = options.releases(federation)
    defended, coins = defenses.defended(config.defense), config.canaries.coins
    wire = Wire.under(config.protocol, federation, releases, defended, config.defense.name, known, coins)
    return wire, options
