"""From a configuration to the defense that it names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from fedprivacy.config.defenses import Budget
from fedprivacy.config.run import DefenseConfig
from fedprivacy.defenses import names, outside
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.wire.release import Release


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
