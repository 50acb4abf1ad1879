"""From what was observed in the target federation and in shadow federations to signals and scores of one client.

The target's own federation is never its own reference. Other clients of the same federation are references that
were trained on no candidate of the target (Co-op). No coin of the target is in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.evidence import TEMPERATURE
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.attacks.membership.logits import phi
from fedprivacy.attacks.membership.remembered import remembered
from fedprivacy.attacks.membership.statistics import applicable, headline, same_as
from fedprivacy.attacks.membership.statistics.joint import Joint
from fedprivacy.attacks.membership.statistics.outside import asked
from fedprivacy.attacks.membership.statistics.outside import statistic as made
from fedprivacy.config.run import AttackConfig
from fedprivacy.federation.knowledge import Observed


@dataclass(frozen=True, eq=False)
class Shadow:
    """A shadow federation: what the same observation gave there, and the coins that the adversary drew for it."""

    observed: Observed
    coins: Bool


def signals_of(
    observed: Observed,
    shadows: Sequence[Shadow],
    source: int,
    chosen: Int,
    labels: Int,
    population_labels: Int,
    coop: bool,
) -> Signals:
    """Signals about the candidates ``chosen`` (positions) from ``source``; ``labels`` are those of all candidates.

    ``coop``: the other clients of the same federation, and what the adversary adds of its own, are references too.
    """
    own = observed.logp[source][:, chosen]
    scores = None if observed.scores is None else observed.scores[source][:, chosen]
    seen = np.asarray(_seen(own, scores))
    population = None if observed.population_logp is None else observed.population_logp[source]
    rows = _as_slice(chosen)
    heard = np.flatnonzero(answered(observed).any(axis=(1, 2))).tolist()
    out = np.zeros(len(labels), dtype=bool)
    known = [_Source(observed, s, out) for s in heard if coop and s != source]
    if coop and observed.reference_logp is not None:
        beside = _beside(observed)
        known += [_Source(beside, number, out) for number in range(len(beside.logp))]
    known += [_Source(shadow.observed, source, shadow.coins) for shadow in shadows]
    if observed.simulated_logp is not None and observed.simulated_in is not None:
        played = _played(observed, source)
        known += [_Source(played, number, coins) for number, coins in enumerate(observed.simulated_in[source])]
    known = [one for one in known if answered(one.observed)[one.number][:, rows].any()]
    references = _references(known, rows, labels, population_labels) if known else None
    return Signals(
        own,
        seen,
        observed.clean[:, chosen],
        labels[chosen],
        references,
        population,
        population_labels if population is not None else None,
        observed.floor,
        scores,
    )


@dataclass(frozen=True, eq=False)
class _Source:
    """A model whose use of every candidate is known: ``number`` in ``observed``, trained on where ``coins`` [n] say."""

    observed: Observed
    number: int
    coins: Bool


Rows = Int | slice
"""Positions of candidates."""


def _as_slice(chosen: Int) -> Rows:
    """The same positions as a slice where they follow one another: a slice keeps a view, an index copies."""
    if len(chosen) and np.array_equal(chosen, np.arange(chosen[0], chosen[0] + len(chosen))):
        return slice(int(chosen[0]), int(chosen[0]) + len(chosen))
    return chosen


def _references(known: Sequence[_Source], chosen: Rows, labels: Int, population_labels: Int) -> References:
    """What the models ``known`` say of the candidates ``chosen``."""
    margins = [observed_margins(one.observed, labels, population_labels) for one in known]
    rounds = _rounds_to_read(np.stack([answered(one.observed)[one.number][:, chosen].any(axis=1) for one in known]))
    tempered = _of_all(known, rounds, [None if own is None else own[:, :, chosen] for _, _, own in margins])
    logp = [one.observed.logp[:, :, chosen] for one in known]
    asked = [one.observed.population_logp for one in known if one.observed.population_logp is not None]
    return References(
        lambda: _of_everyone(known, rounds, logp),
        np.stack([one.coins[chosen] for one in known]),
        (lambda: _of_everyone(known, rounds, asked)) if len(asked) == len(known) else None,
        _of_all(known, rounds, [None if own is None else own[:, :, chosen] for own, _, _ in margins]),
        _of_all(known, rounds, [theirs for _, theirs, _ in margins]),
        {} if tempered is None else {TEMPERATURE: tempered},
    )


@remembered
def _beside(observed: Observed) -> Observed:
    """What the adversary adds of its own, as observed beside the rest."""
    assert observed.reference_logp is not None
    return Observed(observed.reference_logp, observed.seen, observed.clean, observed.reference_population_logp)


@remembered
def _played(observed: Observed, source: int) -> Observed:
    """What was simulated of one source, as observed beside the rest."""
    assert observed.simulated_logp is not None
    population = observed.simulated_population_logp
    theirs = None if population is None else population[source]
    return Observed(observed.simulated_logp[source], observed.seen, observed.clean, theirs)


@remembered
def answered(observed: Observed) -> Bool:
    """[sources, rounds, n], True where anything was said of a candidate."""
    return np.asarray(~np.isnan(observed.logp).all(axis=-1))


def _rounds_to_read(told: Bool) -> Sequence[Rows]:
    """Which round to read of each of S models in each round: that one, but where ``told`` [S, rounds] has none.

    In a round in which the target alone was heard, what a reference last said stands for it, or what it first said.
    """
    silent = np.flatnonzero(~told.any(axis=0))
    if not len(silent):
        return [slice(None)] * len(told)
    found = np.tile(np.arange(told.shape[1]), (len(told), 1))
    for round in silent:
        for own, heard in zip(found, map(np.flatnonzero, told), strict=True):
            before = heard[heard < round]
            own[round] = before[-1] if len(before) else heard[0]
    return list(found)


def _of_all(known: Sequence[_Source], rounds: Sequence[Rows], values: Sequence[Float | None]) -> Float | None:
    """:func:`_of_everyone`, or None where a federation has none."""
    held = [one for one in values if one is not None]
    return _of_everyone(known, rounds, held) if len(held) == len(known) else None


def _of_everyone(known: Sequence[_Source], rounds: Sequence[Rows], values: Sequence[Float]) -> Float:
    """Each model's part of the ``values`` [sources, rounds, ...] of its federation, of the ``rounds`` to read."""
    return np.stack([held[one.number][own] for one, own, held in zip(known, rounds, values, strict=True)])


@remembered
def observed_margins(
    observed: Observed, labels: Int, population_labels: Int
) -> tuple[Float | None, Float | None, Float | None]:
    """phi of all candidates [sources, rounds, n], of the adversary's own records, and of all candidates at
    :data:`~fedprivacy.attacks.membership.evidence.TEMPERATURE`; None where there are none."""
    population = observed.population_logp
    if observed.logp.shape[-1] < 2:
        return None, None, None
    wide = observed.logp.astype(np.float64) / TEMPERATURE
    theirs = None if population is None else phi(population, population_labels)
    return phi(observed.logp, labels), theirs, phi(wide, labels)


def _seen(logp: Float, scores: Float | None) -> Bool:
    """[rounds, n], True where there is a prediction, or a score where there are no predictions at all."""
    if logp.shape[-1] or scores is None:
        return np.asarray(~np.isnan(logp).any(axis=-1))
    return np.asarray(~np.isnan(scores))


def surrogate_signals(observed: Observed, source: int, chosen: Int, labels: Int) -> Signals | None:
    """The same target with surrogates of itself as the only references; None where there are none."""
    if observed.surrogate_logp is None:
        return None
    own = observed.logp[source][:, chosen]
    found = observed.surrogate_logp[source][:, chosen]
    every_round = np.repeat(found[:, None], len(own), axis=1)
    references = References(every_round, np.zeros((len(found), len(chosen)), dtype=bool))
    seen = ~np.isnan(own).any(axis=-1)
    return Signals(own, seen, observed.clean[:, chosen], labels[chosen], references, floor=observed.floor)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of every statistic on one target: [n] float64, or the cause of a failure."""

    scores: Mapping[str, Float | str]
    headline: str
    references: int
    odds: frozenset[str] = frozenset()
    """The statistics whose scores share a scale over targets: log-odds of membership, or, of traps, standard deviations
    from where nobody trained, the same for all clients of a federation."""


def score_target(
    signals: Signals, config: AttackConfig, surrogates: Signals | None = None, known: Mapping[str, Float] | None = None
) -> Scored:
    """Every statistic that the configuration asks for and the signals allow.

    What was decoded jointly stands beside whatever was listed. The headline is declared by the configuration alone:
    named there, or else the default, or else the first listed.
    ``surrogates``: signals whose references are surrogates of the target (:func:`surrogate_signals`). ``known``: scores
    [n] over all rounds by the configuration's rule, of statistics by name, where they were made already.
    """
    listed = tuple(name for name in config.statistics if name != STACK) if signals.logp.shape[-1] else ()
    named = None if config.headline == STACK or not signals.logp.shape[-1] else config.headline
    wished = (*listed, *filter(None, [named]))
    offered = {one.name: one for one in applicable(signals)} | asked(wished, signals)
    declared = named or headline(signals)
    if listed and named is None and declared not in listed:
        declared = listed[0]
    decoded = (Joint.name,) if signals.scores is not None else ()
    names = dict.fromkeys((*listed, *decoded, declared) if listed else offered)
    scores: dict[str, Float | str] = {}
    for name in names:
        statistic = offered[name] if name in offered else made(name)
        if name != declared and same_as(statistic, config.combine, signals) in names:
            continue
        if surrogates is not None and "surrogates" in statistic.needs:
            scores[name] = score_candidates(statistic, surrogates)
            continue
        if name not in offered:
            scores[name] = f"needs {', '.join(sorted(statistic.needs))}, which this observation does not give"
            continue
        if known is not None and name in known:
            scores[name] = known[name]
            continue
        try:
            scores[name] = score_candidates(statistic, signals, config.combine)
        except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
            scores[name] = str(error)
    count = 0 if signals.references is None else len(signals.references.logp)
    odds = frozenset(name for name in scores if name in offered and getattr(offered[name], "odds", False))
    return Scored(scores, declared, count, odds)
