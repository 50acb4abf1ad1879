"""From one score a round to one score a candidate, over the rounds that may be used.

A round counts where the candidate was seen and, by default, had not been in a public fold that was trained on before:
a non-member that was trained on is no longer one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import at_round
from fedprivacy.attacks.membership.remembered import remembered

if TYPE_CHECKING:
    from fedprivacy.federation.knowledge import Statistic

Rule = Literal["last", "mean", "max"]


def usable_rounds(signals: Signals, clean_only: bool = True) -> Bool:
    """[rounds, n], True where the candidate was seen, and was clean unless ``clean_only`` is False."""
    return signals.seen & signals.clean if clean_only else signals.seen


def score_rounds(statistic: Statistic, signals: Signals, clean_only: bool = True) -> Float:
    """Scores [rounds, n], NaN where the round may not be used.

    Raises ValueError if the statistic gives NaN for a candidate that was observed.
    """
    usable = usable_rounds(signals, clean_only)
    if isinstance(statistic, EachRound) and _everything(signals, usable):
        return _checked(statistic, statistic.rounds(signals), usable.shape)
    scores = np.full(usable.shape, np.nan)
    for round in np.flatnonzero(usable.any(axis=1)):
        got = statistic.score(at_round(signals, int(round), usable[round]))
        scores[round, usable[round]] = _checked(statistic, got, (usable[round].sum(),))
    return scores


@remembered
def _everything(signals: Signals, usable: Bool) -> bool:
    """Whether every candidate may be used in every round, and the population was observed in all of them."""
    given = signals.population_logp
    return bool(usable.all()) and (given is None or not np.isnan(given).any())


def _checked(statistic: Statistic, scores: Float, shape: tuple[int, ...]) -> Float:
    if scores.shape != shape or np.isnan(scores).any():
        raise ValueError(f"statistic {statistic.name} gave no score for a candidate it was shown")
    return scores


def combine(scores: Float, rule: Rule) -> Float:
    """[rounds, n] -> [n]: the last score that exists, their mean, or their maximum; NaN where none exists."""
    exists = ~np.isnan(scores)
    if rule == "last":
        last = len(scores) - 1 - exists[::-1].argmax(axis=0)
        return np.asarray(scores[last, np.arange(scores.shape[1])])
    if rule == "mean":
        total, count = np.where(exists, scores, 0.0).sum(axis=0), exists.sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if rule == "max":
        return np.where(exists.any(axis=0), np.where(exists, scores, -np.inf).max(axis=0), np.nan)
    raise ValueError(f"no rule is named {rule!r}; rules: last, mean, max")


def rule_of(statistic: Statistic, rule: Rule) -> Rule | None:
    """How its scores of rounds are combined: by ``rule``, unless it states another in ``over_rounds``.

    None where it states ``all``, and its ``score`` takes all rounds at once.
    """
    own = getattr(statistic, "over_rounds", "each")
    if own == "all":
        return None
    return "mean" if own == "mean" else rule


def score_candidates(statistic: Statistic, signals: Signals, rule: Rule = "mean", clean_only: bool = True) -> Float:
    """One score a candidate, [n], higher says member; NaN for a candidate with no usable round.

    A statistic may state in ``over_rounds`` that it fixes the rule itself: ``mean``, or ``all`` if its ``score``
    takes all rounds at once.
    """
    own = rule_of(statistic, rule)
    if own is None:
        usable = usable_rounds(signals, clean_only)
        masked = np.where(usable[:, :, None], signals.logp, np.nan)
        return statistic.score(replace(signals, logp=masked, seen=usable, clean=usable))
    return combine(score_rounds(statistic, signals, clean_only), own)
