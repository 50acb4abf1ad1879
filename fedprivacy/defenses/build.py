"""From a configuration to the defense that it names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from fedprivacy.config.defenses import Budget
from fedprivacy.config.run import DefenseConfig
from fedprivacy.defenses import names, outside
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense, FederatedProtocol, releases_of
from fedprivacy.wire.release import Release


def build_for(protocol: FederatedProtocol, name: str, config: DefenseConfig, env: Environment) -> Defense | None:
    """:func:`build` on what ``protocol``, called ``name``, sends in ``env``; None for ``none``."""
    if config.name == "none":
        return None
    sent = releases_of(protocol, env)
    names.check_releases(config, name, sent, protocol)
    return build(config, env, sent)


def build(config: DefenseConfig, env: Environment, releases: Sequence[Release]) -> Defense | None:
    """The defense with noise calibrated to the whole run of ``env``; None for ``none``.

    ``releases`` are what the protocol declares (``releases_of``). Raises UsageError where
    the defense cannot act on them, or its settings make no sense.
    """
    names.check(config)
    if config.name == "none":
        return None
    if names.from_outside(config.name):
        strange = outside.built(config.name, config.options, Budget.of(config), env, releases)
        strange.check(env, releases)
        return strange
    module, _, function = names.card(config.name).target.partition(":")
    maker = getattr(importlib.import_module(module), function)
    made: Defense = maker(names.settings_of(config), Budget.of(config), env, releases)
    made.check(env, releases)
    return made
