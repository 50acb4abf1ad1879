"""Who can reconstruct records, and from what. No torch in here."""

from __future__ import annotations

from typing import Literal

from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.labels.positions import CONSENSUS_ONLY
from fedprivacy.attacks.membership.positions import default_adversaries
from fedprivacy.config.base import UsageError
from fedprivacy.config.inversion import METHODS
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.wire.parties import SERVER

Source = Literal["updates", "aggregate", "imprint", "predictions"]
"""Every client's update; the mean of all; updates of a malicious model; predictions on public records."""

AVERAGING = ("fedavg", "fedprox", "fml", "fedkd", "fedckd")
"""Protocols whose broadcast is the mean of one round's models, so that it tells their mean update."""

IMPRINTED = ("fedavg", "fedprox", "fedasync", "fedbuff")
"""Protocols in which a client trains whatever model it is sent, on labels alone."""

MASKED = "secure-aggregation"


def source_of(config: RunConfig, adversary: Adversary) -> Source:
    """What ``adversary`` reads. Raises UsageError where it has nothing to invert, and says what to use instead."""
    card, name = CARDS[config.protocol], config.protocol
    start = f"--attack inversion: protocol {name}"
    if card.family == "none":
        raise UsageError(f"{start} sends nothing, so there is nothing to invert; use fedavg or mutual.")
    if card.family == "prototypes" or name == "profe":
        raise UsageError(
            f"{start} sends class prototypes and neither gradients nor predictions on public records; use --attack "
            "labels or membership."
        )
    peer, masked = adversary.position.startswith("client-"), config.defense.name == MASKED
    if peer and int(adversary.position.removeprefix("client-")) >= config.clients:
        raise UsageError(f"--adversary {adversary.name}: there are {config.clients} clients, numbered from 0.")
    if adversary.power == "active":
        if adversary.position != SERVER or name not in IMPRINTED:
            raise UsageError(
                f"--adversary {adversary.name}: the active attack is a server that sends a malicious model, under "
                f"{', '.join(IMPRINTED)}; use --adversary server."
            )
        return "imprint"
    if card.family == "predictions":
        alone = name not in CONSENSUS_ONLY and config.options.get("peer_mode", "all-peers") == "all-peers"
        if masked or (peer and not alone):
            raise UsageError(f"{start} shows {adversary.name} no client's own predictions; use another adversary.")
        return "predictions"
    if peer or masked:
        if name not in AVERAGING:
            raise UsageError(f"{start} shows {adversary.name} no client's update and no mean of one round; use server.")
        return "aggregate"
    return "updates"


def inversion_adversaries(config: RunConfig) -> list[tuple[Adversary, Source]]:
    """Positions of a run with what they read: those asked for, or the honest-but-curious server."""
    for method in config.attack.inversion.methods:
        if method not in METHODS:
            raise UsageError(f"--methods: no inversion attack '{method}' exists. Known: {', '.join(METHODS)}.")
    if config.attack.adversaries:
        chosen = [Adversary.parse(name) for name in config.attack.adversaries]
    else:
        known = default_adversaries(config)
        chosen = [Adversary(SERVER if SERVER in known or not known else known[0])]
    if config.data.auxiliary < 2:
        raise UsageError("--attack inversion compares with public images: --auxiliary must be at least 2.")
    return [(adversary, source_of(config, adversary)) for adversary in chosen]
