"""Configurations that follow from another: what it is compared with, its control, what its shadows have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedprivacy import catalog
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.config.inversion import InversionConfig
from fedprivacy.config.run import AttackConfig, DefenseConfig, RunConfig
from fedprivacy.study.resolved import Yardstick

NOISELESS: Mapping[str, str] = {"randomized-response": "label-only"}
"""What is left of a defense with the noise off, where it does not take sigma = 0."""


def unattacked(config: RunConfig) -> RunConfig:
    """The same federation, and nobody attacks it."""
    return config.model_copy(update={"attack": AttackConfig()})


def baselines(config: RunConfig, options: Any) -> dict[str, Yardstick]:
    """No exchange, and no exchange with the same public labels; ``options`` are the protocol's."""
    bare = unattacked(config).model_copy(update={"defense": DefenseConfig()})
    alone = catalog.lower_bound()
    plain = bare.model_copy(update={"protocol": alone, "options": {}})
    found = {alone: Yardstick(plain, "no exchange, same private data")}
    if getattr(options, "public_labels", False):
        asked = {"public_labels": True, "public_epochs": getattr(options, "public_epochs", 1)}
        labelled = bare.model_copy(update={"protocol": alone, "options": asked})
        found[f"{alone} + public labels"] = Yardstick(labelled, "no exchange, same private and public labels")
    return found


def without_noise(config: RunConfig) -> RunConfig | None:
    """The same run with the noise off, clipping and all else as it is; None where there is no noise to turn off."""
    defense = config.defense
    if defense.epsilon is None and defense.sigma is None and "epsilon0" not in defense.options:
        return None
    if defense.name in NOISELESS:
        bare = DefenseConfig(name=NOISELESS[defense.name], delta=defense.delta)
    else:
        bare = defense.model_copy(update={"epsilon": None, "sigma": 0.0})
    return config.model_copy(update={"defense": bare})


def shadows_of(config: RunConfig, root: int) -> RunConfig:
    """What decides the content of a shadow federation of seed ``root``, and nothing else: it names the bank."""
    stacked = stacks_alone(config.attack)
    attack = config.attack.model_copy(
        update={
            "attacks": ("membership",),
            "shadows": 0,
            "targets": "auto",
            "statistics": (STACK,) if stacked else (),
            "headline": None,
            "coop": True,
            "level": 0.95,
            "budget": None,
            "effort": config.attack.effort if stacked else "default",
            "inversion": InversionConfig(),
        }
    )
    return config.model_copy(update={"attack": attack, "seed": root, "seeds": 1})


def stacks_alone(attack: AttackConfig) -> bool:
    """Whether shadow federations are decoded jointly too, at the target's cost each, for a stack to learn from."""
    asked = STACK in (*attack.statistics, attack.headline)
    return attack.shadows > 0 and (asked or (attack.effort == "thorough" and not attack.statistics))
