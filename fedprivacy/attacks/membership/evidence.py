"""One observed round of signals as the margins that statistics compare."""

from __future__ import annotations

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
"""Mean, sum of squares about it, and number of references, [n] each."""
Measure = Callable[[Float, Bool, Bool], tuple[NDArray[Any], ...]]
"""(margins, outside, inside), each [S, m], of m candidates -> any number of [m]."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Margins ``phi`` [n] of the target in one round, and what S references said of the same records.

    ``logp`` [S, n, C] and ``included`` [S, n] are the references' log-probabilities (any constant a row, float32 or
    float64) and coins; their margins are taken at ``temperature``, or are ``known`` [S, n].
    """

    phi: Float
    labels: Int
    logp: Float
    included: Bool
    temperature: float = 1.0
    known: Float | None = None

    def over_references(self, measure: Measure) -> tuple[NDArray[Any], ...]:
        """What ``measure`` says of every candidate, [n] each: the same as of :attr:`reference_phi` and its masks, which
        are kept if they are few, and else made for a block of candidates at a time.
        """
        if self.included.size <= KEPT:
            return measure(*self._whole)
        parts = [measure(*self._margins(block)) for block in self._blocks()]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    @property
    def reference_phi(self) -> Float:
        """Margins [S, n] of the references; 0 where one was not observed, which must not be used."""
        return self._whole[0]

    @property
    def outside(self) -> Bool:
        """[S, n], True where a reference was observed, and not trained on the record."""
        return self._whole[1]

    @property
    def inside(self) -> Bool:
        """[S, n], True where a reference was observed, and trained on the record."""
        return self._whole[2]

    @cached_property
    def _whole(self) -> tuple[Float, Bool, Bool]:
        values, outside, inside = zip(*map(self._margins, self._blocks()), strict=True)
        return np.concatenate(values, axis=1), np.concatenate(outside, axis=1), np.concatenate(inside, axis=1)

    def _blocks(self) -> list[slice]:
        width = max(1, AT_ONCE // max(1, self.logp.shape[0] * self.logp.shape[2]))
        return [slice(start, start + width) for start in range(0, max(1, len(self.labels)), width)]

    def _margins(self, block: slice) -> tuple[Float, Bool, Bool]:
        values = self._phi(block) if self.known is None else self.known[:, block]
        observed = ~np.isnan(values)
        included = self.included[:, block]
        return np.where(observed, values, 0.0), observed & ~included, observed & included

    def _phi(self, block: slice) -> Float:
        logp = self.logp[:, block]
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


def single_round(signals: Signals) -> Float:
    """``logp`` [n, C] of signals that hold one round. Raises ValueError for more rounds, or an unseen candidate."""
    if signals.logp.shape[0] != 1:
        raise ValueError(f"a statistic scores one round at a time, not {signals.logp.shape[0]}; use at_round")
    logp = np.asarray(signals.logp[0])
    if np.isnan(logp).any():
        raise ValueError("a candidate was not observed in this round; leave it out with at_round")
    return logp


@remembered
def margins(signals: Signals, temperature: float = 1.0) -> Float:
    """The target's phi [n] in the one round of ``signals``, at a softmax temperature."""
    return phi(single_round(signals) / temperature, signals.labels)


def reference_margins(references: References, labels: Int, temperature: float = 1.0) -> Float:
    """phi [S, rounds, n] of references on the candidates, at a softmax temperature."""
    if references.margins is not None and temperature == 1:
        return references.margins
    return phi(references.logp if temperature == 1 else references.logp / temperature, labels)


@remembered
def evidence(signals: Signals, temperature: float = 1.0) -> Evidence:
    """Margins of target and references on the candidates, at a softmax temperature. ValueError without references."""
    references = _references(signals)
    target = margins(signals, temperature)
    known = references.margins if temperature == 1 else references.tempered.get(temperature)
    return Evidence(
        target,
        signals.labels,
        references.logp[:, 0],
        references.included,
        temperature,
        None if known is None else known[:, 0],
    )


@remembered
def population_margins(signals: Signals) -> tuple[Float, Int]:
    """phi [M] and labels [M] of the auxiliary non-members in the one round. ValueError without a population."""
    if signals.population_logp is None or signals.population_labels is None:
        raise ValueError("this statistic needs a population of auxiliary non-members")
    if signals.population_logp.shape[1] == 0:
        raise ValueError("the population was not observed in this round")
    return phi(signals.population_logp[0], signals.population_labels), signals.population_labels


@remembered
def population_evidence(signals: Signals) -> Evidence:
    """The same evidence about the auxiliary non-members, on which no reference was trained."""
    target, labels = population_margins(signals)
    references = _references(signals)
    if references.population_logp is None:
        raise ValueError("this statistic needs the references' predictions on the population")
    logp, known = references.population_logp[:, 0], references.population_margins
    nobody = np.zeros(logp.shape[:2], dtype=np.bool_)
    return Evidence(target, labels, logp, nobody, known=None if known is None else known[:, 0])


@remembered
def never_trained(signals: Signals) -> Signals:
    """Signals with only those references that trained on no candidate. ValueError if there are none."""
    references = _references(signals)
    keep = ~references.included.any(axis=1)
    if not keep.any():
        raise ValueError("this statistic needs references that were trained on no candidate, such as other clients")
    if keep.all():
        return signals
    given = (references.population_logp, references.margins, references.population_margins)
    population, own, others = (None if values is None else values[keep] for values in given)
    tempered = {temperature: values[keep] for temperature, values in references.tempered.items()}
    kept = References(references.logp[keep], references.included[keep], population, own, others, tempered)
    return replace(signals, references=kept)


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
        references = References(
            references.logp[:, pick][:, :, rows],
            references.included[:, rows],
            _cut(references.population_logp, pick, known),
            _cut(references.margins, pick, rows),
            _cut(references.population_margins, pick, known),
            {temperature: values[:, pick][:, :, rows] for temperature, values in references.tempered.items()},
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


def _cut(values: Float | None, rounds: slice, rows: slice | Bool) -> Float | None:
    return None if values is None else values[:, rounds][:, :, rows]


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
