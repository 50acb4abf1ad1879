"""Who can infer label distributions, and from what. No torch in here."""

from __future__ import annotations

from typing import Literal

from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.membership.positions import default_adversaries
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig

Source = Literal["predictions", "models", "prototypes"]

CONSENSUS_ONLY = ("fedmd", "ds-fl", "cfd", "fedkd-hybrid", "fedproto")


def source_of(config: RunConfig, adversary: Adversary) -> Source:
    """What ``adversary`` has of each client. Raises UsageError where it has nothing of a single client."""
    family = CARDS[config.protocol].family
    peer = adversary.position.startswith("client-")
    if family == "none":
        raise _nothing(config)
    alone = config.protocol == "profe" or (
        family == "predictions"
        and config.protocol not in CONSENSUS_ONLY
        and config.options.get("peer_mode", "all-peers") == "all-peers"
    )
    if peer and not alone:
        raise UsageError(
            f"--attack labels: {adversary.name} sees only what protocol {config.protocol} mixes of all clients; "
            "use server or eavesdropper."
        )
    if config.protocol == "profe" and adversary.position == "server":
        raise UsageError("--attack labels: protocol profe has no server; use client-0 or eavesdropper.")
    if family == "predictions":
        return "predictions"
    return "prototypes" if family == "prototypes" else "models"


def label_adversaries(config: RunConfig) -> list[tuple[Adversary, Source]]:
    """Passive positions of a run with what they read: those asked for, or those of the default set that can."""
    chosen: list[tuple[Adversary, Source]] = []
    for name in config.attack.adversaries or default_adversaries(config):
        adversary = Adversary.parse(name)
        if adversary.power == "active":
            continue
        try:
            chosen.append((adversary, source_of(config, adversary)))
        except UsageError:
            if config.attack.adversaries:
                raise
    if not chosen and CARDS[config.protocol].family == "none":
        raise _nothing(config)
    if not chosen:
        raise UsageError("--attack labels reads what passes by and plants nothing; use --adversary server.")
    return chosen


def _nothing(config: RunConfig) -> UsageError:
    return UsageError(
        f"--attack labels: protocol {config.protocol} sends nothing, so there is nothing to attack; "
        "use mutual or fedavg, or leave --attack out."
    )
