"""The one place that knows every implementation: literal names, and where each lies.

Importing this costs no torch. Implementations are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fedprivacy import parts
from fedprivacy.config.base import UsageError, build, near_miss
from fedprivacy.config.inversion import METHODS
from fedprivacy.config.protocol_cards import CARDS, OUTSIDE, Card
from fedprivacy.data.names import SOURCES
from fedprivacy.defenses import names as defenses
from fedprivacy.models.names import MODELS
from fedprivacy.wire.release import of_clients

if TYPE_CHECKING:
    from torch import nn

    from fedprivacy.adversary.inversion import Source as InversionSource
    from fedprivacy.adversary.labels import Source as LabelSource
    from fedprivacy.adversary.sight import Played, Wire
    from fedprivacy.adversary.threat import Adversary
    from fedprivacy.config.run import RunConfig
    from fedprivacy.federation.environment import Environment
    from fedprivacy.federation.interfaces import Defense, FederatedProtocol
    from fedprivacy.federation.knowledge import Observation

ATTACKS: dict[str, str] = {
    "membership": "was this record in a client's training data? From what crossed the wire, by any statistic",
    "labels": "which classes does a client hold? From shared predictions, models or prototypes",
    "theft": "how far does the server's copy of a client's model agree with it? From shared predictions, by round",
    "inversion": "what do a client's records look like? From updates record by record, from predictions by class",
}

EVERY = "all"
"""In the place of an attack: all that the protocol and its settings give something to."""

STATISTICS: dict[str, str] = {
    "loss": "margin of the true class; no references",
    "confidence": "largest probability; label-free",
    "entropy": "negative entropy; label-free",
    "mentr": "modified entropy (Song and Mittal 2021)",
    "correct": "right or wrong; all that hard labels allow",
    "population": "rank among the adversary's own non-members of the class",
    "calibrated": "log-probability minus its mean over references (Watson et al. 2022)",
    "ratio": "probability over its mean under references; the default where there are any",
    "base-online": "log-probability against in and out references (BASE)",
    "base-offline": "log-probability against out references (BASE)",
    "rmia": "robust membership inference (Zarifzadeh et al. 2024)",
    "lira-online": "likelihood ratio with in and out references (Carlini et al. 2022)",
    "lira-offline": "one-sided likelihood ratio, out references (Carlini et al. 2022)",
    "coop-lira": "the same, with the other clients of the federation as references; no extra training",
    "distil-lira": "the same, with surrogates of the target as references",
    "fedmia": "mean over rounds of the Co-op score",
    "bavaria": "Student-t likelihood ratio with a pooled prior",
    "trajectory": "linear discriminant on the margins of all rounds",
    "stack": "all rounds, statistics and observations of an adversary, combined as shadow federations teach; made with "
    "--effort thorough, or where it is asked for",
    "joint": "log-odds decoded for all candidates together, summed over rounds; the default where an attack gives them",
}

NEED_SHADOWS = frozenset({"base-online", "lira-online", "bavaria", "trajectory", "stack"})
"""Statistics that compare with references which were trained on the candidate; only shadow federations give them."""

RECIPES: dict[str, str] = {
    "gupta2025": "face masks, 5 clients, 12 rounds: FedAvg, layer-wise and mutual learning, with ablations",
}


PAGES: dict[str, str] = {
    "leakage": "what each seat learns of membership, protocol by protocol, at equal power, knowledge and accuracy",
    "verdict": "is sharing predictions private? Leakage over the share of the pool that is known, on any data",
}
"""Recipes of ours with code of their own: pages that are made anew on anybody's data."""

TABLES: dict[str, str] = {
    "frontier": "accuracy and leakage over epsilon, for noise on predictions, on updates and in private training",
    "inversion": "what a client's records look like from weights and from predictions, with pictures",
    "protocols": "every protocol on the same skewed clients: accuracy and bytes",
    "protocol-checks": "every protocol on data that are hard on it, a few rounds: does training stay finite",
    "combine": "how several observed rounds become one score, by statistic and protocol",
    "setup-f": "membership statistics on the same models, with few and with many references",
    "setup-l": "label distributions inferred from predictions, by how much clients differ",
    "setup-p": "one over-fitted federation under each observation, statistic by statistic",
}
"""Recipes of ours that are rows and columns: see ``study.tables``."""


def card(name: str) -> Card:
    """What a protocol is; UsageError with a suggestion where there is none of that name."""
    return OUTSIDE if from_outside(name) else CARDS[name]


def from_outside(name: str) -> bool:
    """Whether a protocol comes from outside the package.

    UsageError with a suggestion where there is none of that name.
    """
    return name.startswith(parts.RECORDING) or parts.exists("protocol", name, CARDS)


def options(config: RunConfig) -> Any:
    """The protocol's own settings, validated; a protocol from outside is its own settings."""
    if from_outside(config.protocol):
        return protocol(config)
    return build(card(config.protocol).options, dict(config.options), f"protocol {config.protocol}")


def protocol(config: RunConfig) -> FederatedProtocol:
    """The protocol of a configuration, with its settings."""
    if from_outside(config.protocol):
        from fedprivacy.protocols import outside

        return outside.made(config.protocol, config.options)
    made: FederatedProtocol = _imported(card(config.protocol).target)(options(config))
    return made


def wire(config: RunConfig) -> Wire:
    """What crosses the wire in a run, as its protocol and its defense declare it."""
    from fedprivacy.adversary.sight import Wire
    from fedprivacy.config.federation import FederationSettings

    federation = FederationSettings.of(config)
    releases, used = options(config).releases(federation), config.defense
    known: tuple[Played, ...] = ("training", "answers")
    if from_outside(config.protocol):
        from fedprivacy.protocols import outside

        known = outside.played(protocol(config), releases)
    return Wire.under(config.protocol, federation, releases, defenses.defended(used), used.name, known)


def _leaves_training(part: Any) -> bool:
    """Whether a protocol, or its settings, say that private training may take the place of local training."""
    said = getattr(part, "private_training", getattr(getattr(part, "options", None), "private_training", False))
    return bool(said)


def silent(protocol: str) -> bool:
    """Whether nothing crosses the wire in a protocol with its own defaults."""
    from fedprivacy.config.run import RunConfig

    return wire(RunConfig(protocol=protocol)).silent


def lower_bound() -> str:
    """The protocol in which nothing is exchanged."""
    return next(name for name, used in CARDS.items() if used.bound == "lower")


def _sending() -> str:
    """The first protocols that send something, to name to a user."""
    return " or ".join([name for name, used in CARDS.items() if not used.bound][:2])


def with_every_attack(config: RunConfig) -> RunConfig:
    """``config`` with each attack that it allows in the place of :data:`EVERY`. UsageError where there is none."""
    able: list[str] = []
    refused: list[UsageError] = []
    for name in ATTACKS:
        bare = type(config.attack)(attacks=(name,))
        try:
            check(config.model_copy(update={"attack": bare}))
            able.append(name)
        except UsageError as error:
            refused.append(error)
    if not able:
        raise refused[0]
    return config.model_copy(update={"attack": config.attack.model_copy(update={"attacks": tuple(able)})})


def check(config: RunConfig) -> None:
    """Everything about names and their combinations that can be found wrong without torch or data."""
    options(config)
    defenses.check(config.defense)
    used = card(config.protocol)
    for attack in config.attack.attacks:
        if attack not in ATTACKS:
            raise UsageError(f"No attack '{attack}' exists. {near_miss(attack, ATTACKS)}")
    for model in (config.training.model, *config.training.client_models):
        parts.exists("model", model, MODELS)
    if config.training.local_steps is not None and config.defense.name == "dp-sgd":
        raise UsageError("--local-steps: defense dp-sgd counts epochs; use --local-epochs, or another defense.")
    if len(set(config.training.client_models)) > 1 and not used.heterogeneous_models:
        able = ", ".join(name for name, c in CARDS.items() if c.heterogeneous_models)
        raise UsageError(
            f"--client-models: protocol {config.protocol} needs one architecture for all clients; "
            f"different ones work with {able}."
        )
    if config.training.heads == "own" and not used.own_heads:
        able = ", ".join(name for name, c in CARDS.items() if c.own_heads)
        raise UsageError(
            f"--heads own: protocol {config.protocol} merges models or compares predictions class by class, so all "
            f"need the same outputs; own ones work with {able}."
        )
    sent = of_clients(wire(config).releases)
    defenses.check_releases(config.defense, config.protocol, sent, _leaves_training(options(config)))
    if config.attack.attacks and wire(config).silent:
        raise UsageError(
            f"--attack {config.attack.attacks[0]}: protocol {config.protocol} sends nothing, so there is nothing to "
            f"attack; use {_sending()}, or leave --attack out."
        )
    _check_guesses(config)
    label_seats(config)
    theft_seats(config)
    inversion_seats(config)
    if "membership" not in config.attack.attacks:
        return
    if config.data.inclusion >= 1:
        raise UsageError("--attack membership needs non-members: --inclusion must be below 1, such as 0.5.")
    if config.attack.known_share < 1 and config.attack.shadows:
        raise UsageError(
            "--known-share: an adversary that does not know all candidates cannot train federations on them; "
            "use --shadows 0."
        )
    check_statistics(config)
    observations(config)


def _check_guesses(config: RunConfig) -> None:
    """Raise UsageError where an audit is to guess more canaries than there can be."""
    asked, candidates = config.canaries, config.data.candidates
    if asked.guesses is None or config.data.layout != "pools" or (asked.number is None and candidates is None):
        return
    each = (asked.number or 0) * (2 if asked.coins == "pair" else 1) or config.clients * (candidates or 0)
    if asked.guesses > config.seeds * each:
        raise UsageError(f"--guesses: {asked.guesses} guesses need as many canaries; there are {config.seeds * each}.")


def check_statistics(config: RunConfig) -> None:
    """Raise UsageError where a statistic or the headline does not exist, or the run has nothing to compute it from."""
    if not config.attack.shadows:
        for statistic in {*config.attack.statistics, config.attack.headline} & NEED_SHADOWS:
            raise UsageError(f"statistic {statistic} needs references that trained on a candidate: add --shadows 8.")
    known_statistics(config)


def known_statistics(config: RunConfig) -> None:
    """Raise UsageError where a statistic or the headline does not exist."""
    for statistic in (*config.attack.statistics, *filter(None, [config.attack.headline])):
        parts.exists("statistic", statistic, STATISTICS)


def described(kind: str) -> dict[str, str]:
    """Name -> one line, for ``fedprivacy list``."""
    if kind == "attacks":
        return ATTACKS
    if kind == "statistics":
        return STATISTICS
    if kind == "models":
        return MODELS
    if kind == "datasets":
        return {name: source.about for name, source in SOURCES.items()}
    if kind == "recipes":
        return RECIPES | PAGES | TABLES
    proof = {True: "proven", False: "no proof, epsilon infinite"}
    none = {"none": "messages cross the wire as they are; epsilon is infinite"}
    return none | {name: f"{used.about} ({proof[used.proven]})" for name, used in defenses.DEFENSES.items()}


def defense(config: RunConfig, env: Environment) -> Defense | None:
    """The defense of a configuration with its noise calibrated to the run; None for ``none``."""
    if config.defense.name == "none":
        return None
    from fedprivacy.defenses.build import build as build_defense
    from fedprivacy.federation.interfaces import releases_of

    made = protocol(config)
    sent = releases_of(made, env)
    defenses.check_releases(config.defense, config.protocol, sent, _leaves_training(made))
    return build_defense(config.defense, env, sent)


def observations(config: RunConfig) -> list[tuple[Adversary, str]]:
    """Adversaries of a run, each with every observation that it can make. UsageError where one can make none."""
    if "membership" not in config.attack.attacks:
        return []
    from fedprivacy.adversary.observations import observable
    from fedprivacy.adversary.seats import adversaries, seat

    known = wire(config)
    seats = [seat(adversary, known) for adversary in adversaries(known, config.attack.adversaries)]
    asked = config.attack.observations
    foreign = [name for name in asked if parts.outside(name) or name in parts.known("observation")]
    if foreign and len(foreign) == len(asked):
        able: list[tuple[Adversary, str]] = []
    else:
        able = [(sight.adversary, name) for sight in seats for name in observable(sight)]
    for name in foreign:
        parts.exists("observation", name, ())
        able += [(sight.adversary, name) for sight in seats if sight.adversary.power == "passive"]
    return [pair for pair in able if pair[1] in _chosen(config, able)]


def _chosen(config: RunConfig, able: list[tuple[Adversary, str]]) -> set[str]:
    """The observations that are made: those asked for, of which some adversary must be able to make each."""
    names, asked = list(dict.fromkeys(name for _, name in able)), config.attack.observations
    for name in asked:
        if name not in names:
            raise UsageError(f"--observations: no adversary of this run makes '{name}'. {near_miss(name, names)}")
    return set(asked or names)


def label_seats(config: RunConfig) -> list[tuple[Adversary, LabelSource]]:
    """Passive adversaries of a run that can infer label distributions, and from what. UsageError where none can."""
    if "labels" not in config.attack.attacks:
        return []
    from fedprivacy.adversary.labels import label_seats as seats

    return seats(wire(config), config.attack.adversaries)


def theft_seats(config: RunConfig) -> list[Adversary]:
    """Adversaries of a run that copy clients' models. UsageError where none can."""
    if "theft" not in config.attack.attacks:
        return []
    from fedprivacy.adversary.theft import theft_seats as seats

    return seats(wire(config), config.attack.adversaries)


def inversion_seats(config: RunConfig) -> list[tuple[Adversary, InversionSource]]:
    """Adversaries of a run that reconstruct records, and from what. UsageError where one can reconstruct nothing."""
    if "inversion" not in config.attack.attacks:
        return []
    from fedprivacy.adversary.inversion import inversion_seats as seats

    for method in config.attack.inversion.methods:
        if parts.outside(method) or method in parts.known("reconstruction"):
            parts.exists("reconstruction", method, METHODS)
        elif method not in METHODS:
            raise UsageError(f"--methods: no inversion attack '{method}' exists. Known: {', '.join(METHODS)}.")
    chosen = seats(wire(config), config.attack.adversaries)
    if config.data.auxiliary < 2:
        raise UsageError("--attack inversion compares with public images: --auxiliary must be at least 2.")
    return chosen


def every_seat(config: RunConfig) -> tuple[str, ...]:
    """One adversary for each seat and power from which the attacks of ``config`` can be made; an eavesdropper reads
    what the server reads, so it stands only for protocols without one. Empty where nothing is sent."""
    found: list[str] = []
    for name in ("server", "active-server", "client-0", "eavesdropper"):
        if name == "eavesdropper" and "server" in found:
            continue
        try:
            check(config.model_copy(update={"attack": config.attack.model_copy(update={"adversaries": (name,)})}))
            found.append(name)
        except UsageError:
            continue
    return tuple(found)


def observation(name: str) -> Observation:
    """The observation of that name."""
    from fedprivacy.adversary.observations import OBSERVATIONS

    if name not in OBSERVATIONS:
        from fedprivacy.attacks.membership.observations import outside

        return outside.observation(name)
    made: Observation = _imported(OBSERVATIONS[name].target)()
    return made


def model_bytes(module: nn.Module) -> int:
    """Encoded bytes of one message with all weights of ``module``."""
    from fedprivacy.wire.codec import encode
    from fedprivacy.wire.payload import Weights

    return len(encode(Weights(module.state_dict())))


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
