"""What each defense can act on, from what is declared alone: why a release is refused, or None. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fedprivacy.wire.release import Release

Problem = Callable[[Release], str | None]
"""Why a release cannot be acted on; None where it can."""

SOFT = ("probabilities", "logits", "losses")
FREE = ("predictions", "weights", "update")
"""Kinds of what receivers work with that are computed from the model and public records alone."""
SUMMED = ("predictions", "weights", "update")
"""Kinds of payload whose sum means something."""


@dataclass(frozen=True)
class Rule:
    """``every``: all that clients send must be acted on, since what is left out would void the claim; ``some``: one
    release suffices; ``any``: what cannot be acted on is refused, and nothing sent is fine."""

    problem: Problem
    covers: Literal["every", "some", "any"]


def clipped(release: Release) -> str | None:
    """Why a release cannot be noised."""
    if release.kind != "predictions":
        return "it acts on predictions alone, and whatever else leaves would void the claim; use dp-sgd"
    if release.form not in SOFT:
        return f"it acts on numbers, not on {release.form}; use randomized-response"
    return None


def clipped_mean(release: Release) -> str | None:
    """Why the mean of a release cannot be noised."""
    if release.merged != "mean":
        return (
            "noise at the aggregator needs a server that takes the plain mean of it; for mutual that is peer_mode = "
            "'mean' with kl_direction = 'peer_own' or payload = 'logits'"
        )
    return clipped(release)


def voted(release: Release) -> str | None:
    """Why a release cannot be put to the vote."""
    if release.kind != "predictions":
        return "it acts on predictions alone, and whatever else leaves would void the claim; use dp-sgd"
    if release.merged not in ("mean", "other") or release.form != "probabilities":
        return (
            "a vote needs a server that merges probabilities; for mutual that is payload = 'probabilities' with "
            "peer_mode = 'mean'"
        )
    return None


def answered(release: Release) -> str | None:
    """Why a release cannot be answered in labels."""
    if release.kind != "predictions":
        return "it acts on predicted labels alone, and whatever else leaves would void the claim; use dp-sgd"
    if release.form == "losses":
        return "losses name no class; use payload = 'labels'"
    if "labels" not in release.forms:
        return "its receivers cannot work with labels; for mutual use payload = 'labels' with kl_direction = 'peer_own'"
    return None


def labelled(release: Release) -> str | None:
    """Why a release cannot become labels."""
    if release.kind != "predictions" or release.form == "losses":
        return "it acts on probabilities and logits alone"
    if "labels" not in release.forms:
        return "its receivers cannot work with labels; for mutual use peer_mode = 'all-peers'"
    return None


def quantised(release: Release) -> str | None:
    """Why a release cannot be quantised."""
    if release.kind != "predictions" or release.form != "probabilities":
        return "it acts on probabilities alone"
    return None


def tempered(release: Release) -> str | None:
    """Why a release has no temperature."""
    if release.kind != "predictions" or release.form not in ("probabilities", "logits"):
        return "it acts on probabilities and logits alone"
    return None


def cut_to_the_largest(release: Release) -> str | None:
    """Why a release has no largest probabilities."""
    if release.kind != "predictions" or release.form != "probabilities":
        return "it acts on probabilities alone"
    return None


def perturbed(release: Release) -> str | None:
    """Why a release cannot be perturbed."""
    if release.kind != "predictions" or release.form != "probabilities":
        return "it acts on probabilities alone"
    return None


def bounded_change(release: Release) -> str | None:
    """Why a release is no update whose start is known."""
    if release.kind == "update" or (release.kind == "weights" and release.known_start):
        return None
    if release.kind == "weights":
        return "the weights it started from are not known to the receiver, so that they are no bounded change"
    if release.kind == "scalars":
        return "no noise covers that number; where it is n_k use options.weighting = 'uniform'"
    return "it acts on weights and updates alone; use a protocol that sends those, or dp-sgd"


def bounded_mean(release: Release) -> str | None:
    """Why the mean of a release cannot be noised."""
    why = bounded_change(release)
    if why is None and release.merged == "weighted":
        return "noise at the aggregator needs the plain mean; use options.weighting = 'uniform'"
    if why is None and release.merged != "mean":
        return (
            "noise at the aggregator needs a server that takes the plain mean; use defense.options.placement = 'local'"
        )
    return why


def changed(release: Release) -> str | None:
    """Why a release is no update."""
    why = bounded_change(release)
    return None if why is None else "it acts on weights whose start is known and on updates alone"


def summable(release: Release) -> str | None:
    """Why a release cannot be summed under masks."""
    if release.kind not in SUMMED or release.form in ("labels", "losses"):
        return "it masks weights, updates, probabilities and logits alone"
    if release.merged == "weighted":
        return "masks cancel in a plain mean alone; use options.weighting = 'uniform'"
    if release.merged != "mean":
        return "masks need a server that takes the plain mean of it; for mutual use peer_mode = 'mean'"
    if release.times > 1:
        return "masks serve for one message of a kind a round"
    return None


def follows_from_the_model(release: Release) -> str | None:
    """Why a release is not post-processing of the model."""
    if release.reads in FREE:
        return None
    if release.name == "n_k":
        return "a record count is no post-processing of the model; use options.weighting = 'uniform'"
    return "it is computed from private records again, which no noise covers; use a protocol that shares predictions"


RULES: dict[str, Rule] = {
    "gaussian": Rule(clipped, "every"),
    "laplace": Rule(clipped, "every"),
    "randomized-response": Rule(answered, "every"),
    "noisy-vote": Rule(voted, "every"),
    "dp-fedavg": Rule(bounded_change, "every"),
    "dp-sgd": Rule(follows_from_the_model, "any"),
    "quantise": Rule(quantised, "some"),
    "top-k": Rule(cut_to_the_largest, "some"),
    "label-only": Rule(labelled, "some"),
    "temperature": Rule(tempered, "some"),
    "memguard": Rule(perturbed, "some"),
    "gradient-pruning": Rule(changed, "some"),
    "gradient-noise": Rule(changed, "some"),
    "secure-aggregation": Rule(summable, "every"),
}
"""The rule of each defense that looks at what is sent."""

AT_SERVER: dict[str, Rule] = {"gaussian": Rule(clipped_mean, "every"), "dp-fedavg": Rule(bounded_mean, "every")}
"""The rule of those that a trusted server may carry out, there."""


def refusal(rule: Rule, protocol: str, releases: Sequence[Release]) -> str | None:
    """Why a defense cannot act on what the clients of ``protocol`` send; None where it can."""
    if not releases and rule.covers != "any":
        purpose = "protect" if rule.covers == "every" else "act on"
        return f"protocol {protocol} sends nothing, so there is nothing to {purpose}"
    found = [(release, rule.problem(release)) for release in releases]
    if rule.covers == "some" and any(why is None for _, why in found):
        return None
    return next((f"protocol {protocol} sends {release.name}; {why}" for release, why in found if why is not None), None)
