"""What an observation promises: it tells of candidates from what crossed the wire, and of none where nothing did.

It is tried on over-fitted federations whose clients share predictions, weights and updates; it has to read one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, View
from fedprivacy.federation.knowledge import Knowledge, Observation, Observed
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.study.conformance.checked import Broken, Look, hold
from fedprivacy.wire.transcript import Transcript


@dataclass(frozen=True, eq=False)
class Watched:
    """One federation as its server saw it: ``kind`` of message, the view, what it brings, and what it must find out.

    ``owners`` [n] and ``coins`` [n] of the candidates; the observation gets neither.
    """

    kind: str
    view: View
    knowledge: Knowledge
    owners: Int
    coins: Bool


def looks(made: Observation, watched: tuple[Watched, ...]) -> Iterator[tuple[str, Look]]:
    """The properties of an observation."""
    found: dict[str, Observed] = {}

    def reads() -> str:
        refused = []
        for one in watched:
            try:
                observed = made.observe(one.view, one.knowledge)
            except ValueError as error:
                refused.append(f"{one.kind}: {error}")
                continue
            _hold_shapes(one, observed)
            if _known(one, observed).any():
                found[one.kind] = observed
            else:
                refused.append(f"{one.kind}: it tells of no candidate")
        hold(bool(found), f"it reads no federation that was tried; {'; '.join(refused)}")
        return f"reads {', '.join(found)}"

    def told() -> str:
        for observed in found.values():
            _hold_probabilities(observed)
        return ""

    def again() -> str:
        for one in watched:
            if one.kind in found:
                second = made.observe(one.view, one.knowledge)
                hold(_same(found[one.kind], second), "two looks at the same view differ: seed it by knowledge.root")
        return ""

    def nothing() -> str:
        one = next(one for one in watched if one.kind in found)
        silent = View(one.view.position, tuple(_emptied(t) for t in one.view.transcripts))
        try:
            empty = made.observe(silent, one.knowledge)
        except ValueError:
            return "it says that there is nothing"
        known = int(_known(one, empty).sum())
        hold(not known, f"without any message it tells of {known} candidates")
        return ""

    def leak() -> str:
        areas = {}
        for one in watched:
            if one.kind in found:
                score = _scores(one, found[one.kind])
                known = _known(one, found[one.kind])
                if known[one.coins].any() and known[~one.coins].any():
                    areas[one.kind] = auc_interval(score[known & one.coins], score[known & ~one.coins])
        words = ", ".join(f"{kind} {area.value:.2f}" for kind, area in areas.items()) or "no candidate was seen"
        if not any(area.low > 0.5 for area in areas.values()):
            raise Broken(f"over-fitted federations tell it nothing, or it has the wrong sign: AUC {words}")
        return f"AUC {words}"

    yield "it reads a federation", reads
    yield "log-probabilities of every candidate, or log-odds", told
    yield "the same view, the same answer", again
    yield "no message, no answer", nothing
    yield "members look like members", leak


def _emptied(transcript: Transcript) -> Transcript:
    return transcript.restricted(lambda message: False)


def _hold_shapes(one: Watched, observed: Observed) -> None:
    n, classes = len(one.owners), len(one.knowledge.dataset.classes)
    given = observed.logp if observed.scores is None else observed.scores
    wanted = (n, classes) if observed.scores is None else (n,)
    hold(
        given.ndim == 2 + len(wanted) and given.shape[2:] == wanted and observed.seen.shape == given.shape[1:3],
        f"it gives {given.shape} and seen {observed.seen.shape}, not [sources, rounds, {n}, ...] and [rounds, {n}]",
    )
    hold(
        observed.clean.shape == observed.seen.shape and observed.seen.dtype == observed.clean.dtype == np.bool_,
        "seen and clean are not bool of the same shape",
    )


def _hold_probabilities(observed: Observed) -> None:
    if observed.logp.shape[-1]:
        sums = np.exp(observed.logp[np.isfinite(observed.logp).all(axis=3)]).sum(axis=-1)
        hold(bool(np.allclose(sums, 1, atol=1e-3)), "logp are no log-probabilities: they do not sum to one")


def _known(one: Watched, observed: Observed) -> Bool:
    """Candidates [n] of which something is told."""
    return np.isfinite(_scores(one, observed)) & observed.seen.any(axis=0)


def _scores(one: Watched, observed: Observed) -> Float:
    """One number a candidate [n], from its owner's source where sources are clients; NaN where nothing is known."""
    n = len(one.owners)
    given = observed.scores
    if given is None:
        given = observed.logp[..., np.arange(n), one.knowledge.dataset.y_train[one.knowledge.candidates]]
    source = one.owners if len(given) > 1 else np.zeros(n, dtype=np.int64)
    own = given[source, :, np.arange(n)]
    known = np.isfinite(own)
    return np.where(known.any(axis=1), np.where(known, own, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)


def _same(one: Observed, other: Observed) -> bool:
    pairs = ((one.logp, other.logp), (one.seen, other.seen), (one.scores, other.scores))
    return all(a is b or (a is not None and b is not None and _equal(a, b)) for a, b in pairs)


def _equal(a: Float | Bool, b: Float | Bool) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
