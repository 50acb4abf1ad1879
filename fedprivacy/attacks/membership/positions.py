"""What each position on the wire can observe of each protocol. No torch in here.

A passive server reads what every client sends, an eavesdropper the same on an unencrypted channel, a peer what is
relayed or broadcast to it. An active server plants candidates in public folds; it can do so only where clients answer
queries on records that it chooses.
"""

from __future__ import annotations

from fedprivacy.adversary.threat import EAVESDROPPER, Adversary
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.protocols import LayerwiseOptions
from fedprivacy.config.run import RunConfig
from fedprivacy.wire.parties import SERVER

JOINT = "joint-updates"


def default_adversaries(config: RunConfig) -> tuple[str, ...]:
    """The positions that a run without --adversary reports; none where nothing is sent."""
    if config.protocol == "profe":
        return ("client-0", EAVESDROPPER) if config.clients > 1 else (EAVESDROPPER,)
    family = CARDS[config.protocol].family
    if family == "none":
        return ()
    if family == "predictions":
        return ("active-server", SERVER)
    return (SERVER, "client-0") if config.clients > 1 else (SERVER,)


def sees_whole_models(config: RunConfig) -> bool:
    """Whether a protocol that shares predictions sends whole models too, under its settings."""
    if config.protocol == "mutual":
        return bool(config.options.get("average_weights"))
    one_architecture = len(set(config.training.client_models)) <= 1
    return config.protocol == "fedkd-hybrid" and one_architecture and not config.options.get("shared_layers")


def observable(config: RunConfig, adversary: Adversary) -> tuple[str, ...]:
    """Names of the observations that ``adversary`` can make. Raises UsageError where there is none, and says why."""
    peer = adversary.position.startswith("client-")
    if peer and int(adversary.position.removeprefix("client-")) >= config.clients:
        raise UsageError(
            f"--adversary {adversary.name}: there are {config.clients} clients, 0 to {config.clients - 1}."
        )
    if peer and config.clients == 1:
        raise _unknown(config, adversary, "there is no other client")
    family = CARDS[config.protocol].family
    if adversary.power == "active":
        if family == "predictions" and adversary.position == SERVER:
            return ("joint-probes", "probes")
        raise _unknown(config, adversary, _why_not_active(adversary, family))
    if config.protocol == "profe":
        if adversary.position == SERVER:
            raise _unknown(config, adversary, "there is no server, nodes send to their neighbours")
        return (JOINT, "students", "prototypes")
    if family == "predictions":
        whole = sees_whole_models(config)
        decoded = ("joint-predictions",) if not peer or _peers_see_each(config) else ()
        model = "global-model" if peer else "uploaded-weights"
        return (*decoded, "surrogate", *((model,) if whole else ()))
    if family == "prototypes":
        return ("prototypes",)
    if family == "updates":
        if peer:
            return (*_joint(config, peer), "global-from-updates" if config.protocol == "fedkd" else "global-model")
        return (JOINT, "decoded-updates")
    if family == "weights":
        _whole_model_in_time(config)
        models = "uploaded-memes" if config.protocol == "fml" else "uploaded-weights"
        return (*_joint(config, peer), "global-model" if peer else models)
    raise _unknown(config, adversary, "nothing is sent")


def _joint(config: RunConfig, peer: bool) -> tuple[str, ...]:
    """Decoding of updates, where a peer can take consecutive broadcasts for the mean of what clients did."""
    return (JOINT,) if not peer or CARDS[config.protocol].returns_mean else ()


def _peers_see_each(config: RunConfig) -> bool:
    """Whether what single clients answered is relayed to their peers."""
    return config.protocol == "mutual" and config.options.get("peer_mode", "all-peers") == "all-peers"


def _whole_model_in_time(config: RunConfig) -> None:
    """Refuse a run that ends before every group of layers has crossed the wire."""
    if config.protocol != "layerwise-async":
        return
    every = LayerwiseOptions.model_validate(dict(config.options)).deep_every
    if config.rounds < every:
        raise UsageError(
            f"--attack membership: the deep layers are sent in every round that {every} divides (deep_every), and the "
            f"run ends after {config.rounds}: no whole model crosses the wire; use --rounds {every} or more."
        )


def _why_not_active(adversary: Adversary, family: str) -> str:
    if adversary.position == EAVESDROPPER:
        return "an eavesdropper only listens"
    if adversary.position != SERVER:
        return "no active attack of a client is known here"
    return f"clients that share {family} answer no queries, so there is no fold to plant candidates in"


def _unknown(config: RunConfig, adversary: Adversary, why: str) -> UsageError:
    known = " or ".join(default_adversaries(config)) or "another protocol"
    return UsageError(
        f"--adversary {adversary.name}: no membership observation of protocol {config.protocol}: {why}; use {known}."
    )
