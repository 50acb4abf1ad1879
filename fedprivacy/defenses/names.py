"""The defenses by name: what each does, whether anything is proven, and what it acts on. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedprivacy import parts
from fedprivacy.config import defenses as options
from fedprivacy.config.base import Part, UsageError, build
from fedprivacy.config.run import DefenseConfig
from fedprivacy.defenses.acts_on import AT_SERVER, RULES, refusal
from fedprivacy.wire.release import UNDEFENDED, Defended, Release


@dataclass(frozen=True)
class Card:
    """What a user asks before choosing a defense."""

    about: str
    proven: bool
    """Whether a finite epsilon can be claimed; if not, epsilon is infinite and only measurements say anything."""
    kinds: tuple[str, ...]
    """Kinds of payload that it acts on; ``training`` acts before anything is sent."""
    options: type[Part]
    target: str
    """``module:function`` that builds it from (options, budget, environment, releases)."""
    private_training: bool = False
    """It takes the place of local training, which the protocol must leave to it."""
    defended: Defended = UNDEFENDED
    """What it does to releases, as their receivers know; under ``placement = 'aggregator'`` it merges as well."""


def _card(
    about: str,
    proven: bool,
    kinds: tuple[str, ...],
    settings: type[Part],
    module: str,
    defended: Defended = UNDEFENDED,
    private_training: bool = False,
) -> Card:
    return Card(about, proven, kinds, settings, f"fedprivacy.defenses.{module}:build", private_training, defended)


PREDICTIONS, WEIGHTS = ("predictions",), ("weights", "update")

DEFENSES: dict[str, Card] = {
    "gaussian": _card(
        "clipped prediction matrices plus Gaussian noise, at each client or at a trusted server",
        True,
        PREDICTIONS,
        options.GaussianOptions,
        "gaussian",
        Defended(noised_releases=True),
    ),
    "laplace": _card(
        "clipped prediction matrices plus Laplace noise",
        True,
        PREDICTIONS,
        options.LaplaceOptions,
        "laplace",
        Defended(noised_releases=True),
    ),
    "randomized-response": _card(
        "predicted labels, each sometimes replaced by another",
        True,
        PREDICTIONS,
        options.RandomizedResponseOptions,
        "randomized_response",
    ),
    "noisy-vote": _card(
        "a trusted server counts the clients' votes, adds noise, and passes on the winner (PATE)",
        True,
        PREDICTIONS,
        options.NoOptions,
        "noisy_vote",
        Defended(merges=True),
    ),
    "dp-fedavg": _card(
        "clipped updates plus Gaussian noise, for clients as a whole",
        True,
        WEIGHTS,
        options.DpFedAvgOptions,
        "dp_fedavg",
        Defended(rescales=True, noised_releases=True),
    ),
    "dp-sgd": _card(
        "noise inside private training; all that the model then tells is free",
        True,
        ("training",),
        options.DpSgdOptions,
        "dp_sgd",
        Defended(rescales=True, noised_steps=True),
        private_training=True,
    ),
    "quantise": _card("probabilities in few bits", False, PREDICTIONS, options.QuantiseOptions, "quantise"),
    "top-k": _card("only the k largest probabilities", False, PREDICTIONS, options.TopKOptions, "top_k"),
    "label-only": _card("only the predicted class", False, PREDICTIONS, options.NoOptions, "label_only"),
    "temperature": _card("softened predictions", False, PREDICTIONS, options.TemperatureOptions, "temperature"),
    "memguard": _card(
        "perturbed predictions that keep the label (after MemGuard)",
        False,
        PREDICTIONS,
        options.MemGuardOptions,
        "memguard",
    ),
    "gradient-pruning": _card(
        "updates without their small entries",
        False,
        WEIGHTS,
        options.GradientPruningOptions,
        "gradient_pruning",
        Defended(cuts=True),
    ),
    "gradient-noise": _card(
        "Gaussian noise on updates, without a bound", False, WEIGHTS, options.GradientNoiseOptions, "gradient_noise"
    ),
    "secure-aggregation": _card(
        "masks that cancel in the sum: the server sees sums only",
        False,
        (*PREDICTIONS, *WEIGHTS),
        options.SecureAggregationOptions,
        "secure_aggregation",
        Defended(hides_each=True),
    ),
    "nfdp": _card(
        "training on a random part of the records, without noise", False, ("training",), options.NfdpOptions, "nfdp"
    ),
}
"""Every defense by its name on the command line; ``none`` is the absence of one."""


def card(name: str) -> Card:
    """What a defense is; UsageError with a suggestion where there is none of that name."""
    if not from_outside(name):
        return DEFENSES[name]
    part = parts.load("defense", name)
    found = getattr(part, "defended", UNDEFENDED)
    return Card("a defense from outside", hasattr(part, "build"), (), options.NoOptions, "", defended=found)


def from_outside(name: str) -> bool:
    """Whether a defense comes from outside the package.

    UsageError with a suggestion where there is none of that name.
    """
    return parts.exists("defense", name, [*DEFENSES, "none"])


def settings_of(config: DefenseConfig) -> Part:
    """The defense's own settings, validated; those of a defense from outside are looked at when it is made."""
    if from_outside(config.name):
        return options.NoOptions()
    return build(card(config.name).options, dict(config.options), f"defense {config.name}")


def defended(config: DefenseConfig) -> Defended:
    """What the defense of a run does to releases, as their receivers know. UsageError for settings that make none."""
    if config.name == "none":
        return UNDEFENDED
    own = settings_of(config)
    at_server, head_alone = getattr(own, "placement", "") == "aggregator", getattr(own, "layers", "") == "head"
    found = card(config.name).defended
    found = replace(found, head_alone=True) if head_alone else found
    return replace(found, merges=True) if at_server else found


def check_releases(config: DefenseConfig, protocol: str, releases: Sequence[Release], part: Any) -> None:
    """Raise UsageError where the defense cannot act on what the clients of ``protocol`` send.

    ``part``: the protocol or its settings, which say whether private training may take the place of local training.
    """
    if config.name == "none":
        return
    at_server = getattr(settings_of(config), "placement", "") == "aggregator"
    rule = (AT_SERVER if at_server else RULES).get(config.name)
    why = None if rule is None else refusal(rule, protocol, releases)
    if why is not None:
        raise UsageError(f"defense {config.name}: {why}.")
    if card(config.name).private_training and not leaves_training(part):
        raise UsageError(
            f"defense {config.name}: local training of protocol {protocol} joins models, weights or everybody's "
            "records, so private training cannot take its place; use another protocol, or another defense."
        )


def leaves_training(part: Any) -> bool:
    """Whether a protocol, or its settings, say that private training may take the place of local training."""
    said = getattr(part, "private_training", getattr(getattr(part, "options", None), "private_training", False))
    return bool(said)


def check(config: DefenseConfig) -> None:
    """Everything that can be found wrong without data or torch. Raises UsageError."""
    if config.name == "none":
        if config.epsilon is not None or config.sigma is not None:
            raise UsageError("defense none adds no noise; name a defense with --defense, such as gaussian or dp-sgd.")
        return
    used, chosen = card(config.name), settings_of(config)
    noise = config.epsilon is not None or config.sigma is not None
    if noise and not used.proven:
        able = ", ".join(name for name, other in DEFENSES.items() if other.proven)
        raise UsageError(
            f"defense {config.name} proves nothing, so no epsilon or sigma applies to it; those that do: {able}."
        )
    if config.name == "randomized-response":
        _check_response(config, getattr(chosen, "epsilon0", None))
    elif used.proven and not noise and not from_outside(config.name):
        raise UsageError(f"defense {config.name} needs --epsilon (noise is calibrated) or --sigma (epsilon follows).")


def _check_response(config: DefenseConfig, epsilon0: float | None) -> None:
    if config.sigma is not None:
        raise UsageError("defense randomized-response has no sigma; give --epsilon or defense.options.epsilon0.")
    if (config.epsilon is None) == (epsilon0 is None):
        raise UsageError("defense randomized-response needs --epsilon or defense.options.epsilon0, one of the two.")
