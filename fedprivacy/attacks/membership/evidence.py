"""Observed rounds of signals as the margins that statistics compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy.adversary.threat import Bool, Float, Int, References, Signals
from fedprivacy.attacks.membership.logits import phi
from fedprivacy.attacks.membership.moments import moments
from fedprivacy.attacks.membership.remembered import remembered

AT_ONCE = 2**18
"""Log-probabilities of references that are read at once: what is made of them on the way stays in a core's cache."""
TEMPERATURE = 2.0
"""Of the softmax that BASE reads; references' margins at it are derived once a federation, as those at 1 are."""
KEPT = 2**19
"""Margins of references that are kept for the next statistic that asks."""

Moments = tuple[Float, Float, Int]
"""Mean, sum of squares about it, and number of references, [..., n] each."""
Measure = Callable[[Float, Bool, Bool], tuple[NDArray[Any], ...]]
"""(margins, outside, inside), each [S, ..., m], of m candidates -> any number of [..., m]."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Margins ``phi`` [..., n] of the target, in one round or in all, and what S references said of the same records.

    ``logp`` [S, ..., n, C] and ``included`` [S, n] are the references' log-probabilities (any constant a row, float32
    or float64) and coins; their margins are taken at ``temperature``, or are ``known`` [S, ..., n] and ``logp`` None.
    """

    phi: Float
    labels: Int
    logp: Float | None
    included: Bool
    temperature: float = 1.0
    known: Float | None = None

    def over_references(self, measure: Measure) -> tuple[NDArray[Any], ...]:
        """What ``measure`` says of every candidate, [..., n] each: the same as of :attr:`reference_phi` and its masks,
        which are kept if they are few, and else made for a block of candidates at a time.
        """
        if len(self.included) * self.phi.size <= KEPT:
            return measure(*self._whole)
        parts = [measure(*self._margins(block)) for block in self._blocks()]
        return tuple(np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))

    @property
    def reference_phi(self) -> Float:
        """Margins [S, ..., n] of the references; 0 where one was not observed, which must not be used."""
        return self._whole[0]

    @property
    def outside(self) -> Bool:
        """[S, ..., n], True where a reference was observed, and not trained on the record."""
        return self._whole[1]

    @property
    def inside(self) -> Bool:
        """[S, ..., n], True where a reference was observed, and trained on the record."""
        return self._whole[2]

    @cached_property
    def _whole(self) -> tuple[Float, Bool, Bool]:
        values, outside, inside = zip(*map(self._margins, self._blocks()), strict=True)
        return np.concatenate(values, axis=-1), np.concatenate(outside, axis=-1), np.concatenate(inside, axis=-1)

    def _blocks(self) -> list[slice]:
        lines = len(self.included) * math.prod(self.phi.shape[:-1])
        width = max(1, AT_ONCE // max(1, lines * (1 if self.logp is None else self.logp.shape[-1])))
        return [slice(start, start + width) for start in range(0, max(1, len(self.labels)), width)]

    def _margins(self, block: slice) -> tuple[Float, Bool, Bool]:
        values = self.known[..., block] if self.known is not None else self._phi(block)
        observed = ~np.isnan(values)
        included = np.expand_dims(self.included[:, block], tuple(range(1, self.phi.ndim)))
        return np.where(observed, values, 0.0), observed & ~included, observed & included

    def _phi(self, block: slice) -> Float:
        assert self.logp is not None
        logp = self.logp[..., block, :]
        if self.temperature != 1:
            logp = logp.astype(np.float64) / self.temperature
        return phi(logp, self.labels[block])


@remembered
def outside_moments(found: Evidence) -> Moments:
    """Of the margins of references that were not trained on a candidate."""
    if found.included.any():
        return in_and_out_moments(found)[1]
    mean, squares, count = found.over_references(lambda margins, outside, _: moments(margins, outside))
    return mean, squares, count


@remembered
def in_and_out_moments(found: Evidence) -> tuple[Moments, Moments]:
    """Of the margins of references that were trained on a candidate, and of those that were not."""
    a, b, c, d, e, f = found.over_references(
        lambda margins, outside, inside: (*moments(margins, inside), *moments(margins, outside))
    )
    return (a, b, c), (d, e, f)


def predictions(signals: Signals) -> Float:
    """``logp`` [rounds, n, C] of signals in which every candidate was observed in every round, or ValueError."""
    if np.isnan(signals.logp).any():
        raise ValueError("a candidate was not observed in a round; leave it out with at_round")
    return np.asarray(signals.logp)


def margins(signals: Signals, temperature: float = 1.0) -> Float:
    """The target's phi [n] in signals of one round, at a softmax temperature. ValueError for more rounds."""
    (found,) = margins_of_rounds(signals, temperature)
    return np.asarray(found)


@remembered
def margins_of_rounds(signals: Signals, temperature: float = 1.0) -> Float:
    """The same in every round, [rounds, n]."""
    return phi(predictions(signals) / temperature, signals.labels)


def reference_margins(references: References, labels: Int, temperature: float = 1.0) -> Float:
    """phi [S, rounds, n] of references on the candidates, at a softmax temperature."""
    if references.margins is not None and temperature == 1:
        return references.margins
    return phi(references.logp if temperature == 1 else references.logp / temperature, labels)


def evidence(signals: Signals, temperature: float = 1.0) -> Evidence:
    """Margins of target [n] and references on the candidates, at a softmax temperature, in signals of one round.

    Raises ValueError for more rounds, or without references.
    """
    found = evidence_of_rounds(signals, temperature)
    (target,) = found.phi
    logp, known = (None if values is None else values[:, 0] for values in (found.logp, found.known))
    return Evidence(target, found.labels, logp, found.included, temperature, known)


@remembered
def evidence_of_rounds(signals: Signals, temperature: float = 1.0) -> Evidence:
    """The same in every round, [rounds, n]."""
    references = _references(signals)
    target = margins_of_rounds(signals, temperature)
    known = references.margins if temperature == 1 else references.tempered.get(temperature)
    logp = references.logp if known is None else None
    return Evidence(target, signals.labels, logp, references.included, temperature, known)


@remembered
def population_margins(signals: Signals) -> tuple[Float, Int]:
    """phi [rounds, M] and labels [M] of the auxiliary non-members. ValueError without a population."""
    if signals.population_logp is None or signals.population_labels is None:
        raise ValueError("this statistic needs a population of auxiliary non-members")
    if signals.population_logp.shape[1] == 0:
        raise ValueError("the population was not observed in this round")
    return phi(signals.population_logp, signals.population_labels), signals.population_labels


@remembered
def population_evidence(signals: Signals) -> Evidence:
    """The same evidence about the auxiliary non-members, on which no reference was trained."""
    target, labels = population_margins(signals)
    references = _references(signals)
    if not references.with_population:
        raise ValueError("this statistic needs the references' predictions on the population")
    known = references.population_margins
    logp = references.population_logp if known is None else None
    nobody = np.zeros((len(references.included), len(labels)), dtype=np.bool_)
    return Evidence(target, labels, logp, nobody, known=known)


@remembered
def never_trained(found: Evidence) -> Evidence:
    """With only those references that trained on no candidate. ValueError if there are none."""
    keep = ~found.included.any(axis=1)
    if not keep.any():
        raise ValueError("this statistic needs references that were trained on no candidate, such as other clients")
    if keep.all():
        return found
    logp, known = (None if values is None else values[keep] for values in (found.logp, found.known))
    return replace(found, logp=logp, included=found.included[keep], known=known)


@remembered
def at_round(signals: Signals, round: int, usable: Bool) -> Signals:
    """One round (0-based) restricted to the candidates in ``usable`` [n], and to the population observed then."""
    pick = slice(round, round + 1)
    population, labels = signals.population_logp, signals.population_labels
    known = slice(None)
    if population is not None and labels is not None:
        gaps = np.isnan(population[round]).any(axis=-1)
        known = ~gaps if gaps.any() else known
        population, labels = population[pick][:, known], labels[known]
    # A slice keeps a view; a boolean index copies.
    rows = slice(None) if usable.all() else usable
    references = signals.references
    if references is not None:
        references = references.read(
            lambda values: values[:, pick][:, :, rows],
            lambda values: values[:, pick][:, :, known],
            references.included[:, rows],
        )
    return replace(
        signals,
        logp=signals.logp[pick][:, rows],
        seen=signals.seen[pick][:, rows],
        clean=signals.clean[pick][:, rows],
        labels=signals.labels[rows],
        references=references,
        population_logp=population,
        population_labels=labels,
        scores=None if signals.scores is None else signals.scores[pick][:, rows],
    )


def last_margins(signals: Signals) -> Float:
    """The target's phi [n] in the last round in which each candidate was seen clean; NaN where there is none.

    Without any prediction, the sum of the scores that were decoded jointly.
    """
    usable = signals.seen & signals.clean
    if not signals.logp.shape[-1] and signals.scores is not None:
        return np.where(usable.any(axis=0), np.where(usable, signals.scores, 0.0).sum(axis=0), np.nan)
    last = len(usable) - 1 - usable[::-1].argmax(axis=0)
    rows = np.arange(usable.shape[1])
    found = phi(signals.logp[last, rows], signals.labels)
    return np.asarray(np.where(usable.any(axis=0), found, np.nan))


def out_counts(references: References, round: int | None = None) -> Int:
    """How many references were not trained on each candidate, [n]; with ``round``, of those observed in it.

    Candidates with 0 are scored by a class mean and must be counted in the finding. With independent coins this count
    says nothing of membership; with coins balanced over target and references (each candidate in exactly half of all
    models) it would give membership away.
    """
    out = ~references.included
    if round is not None:
        for mine, told in zip(out, references.logp[:, round], strict=True):
            mine &= ~np.isnan(told).any(axis=-1)
    return np.asarray(out.sum(axis=0), dtype=np.int64)


def _references(signals: Signals) -> References:
    if signals.references is None or len(signals.references.included) == 0:
        raise ValueError("this statistic needs references")
    return signals.references
