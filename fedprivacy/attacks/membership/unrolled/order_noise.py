"""How far a client's answers lie apart when it trains on the same records in another order.

Two replays with the same drawn coins differ by order alone (and by the noise of a defense, drawn anew): half the mean
square of their difference is the noise that the right coins would leave. It moves records of a fold together, most of
all those that look alike: its covariance over records is what residuals are whitened by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.attacks.membership.unrolled.readings import Hard, Linear, Margins, Noise, Reading, Soft
from fedprivacy.attacks.membership.unrolled.replay import Replay
from fedprivacy.federation.course import Fit, Private
from fedprivacy.training.learner import Records, Seed

MEASURED = (Soft, Linear, Margins)
"""Readings whose features a defense may change by what was seen of them."""
FLOOR = 1e-3
"""Smallest spread that is believed, in the units of the features."""
SIMPLE = 0.5
"""How much the covariance of a round is that of records on their own with one common part, and not what was seen."""

Sent = Callable[[Tensor, int, int], Reading]
"""(logits [N, C], round, number of the replay) -> what would have been read of them."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Replays with drawn coins ``coins`` [S, n]; ``answers``: logits by round.

    The first ``2 * pairs`` have the same coins two by two; all others, coins of their own. ``passes``: how many a
    client that stops early keeps of each round, the median over draws of coins.
    """

    coins: Bool
    answers: Sequence[Mapping[int, Tensor]]
    pairs: int
    passes: Mapping[int, int] = field(default_factory=dict)


def drawn(
    replay: Replay,
    folds: Sequence[Records],
    asked: Mapping[int, NDArray[np.generic]],
    prior: Float,
    pairs: int,
    singles: int,
    seed: int,
    unknown: Bool | None = None,
) -> Drawn:
    """``pairs`` draws of coins for the records of ``folds``, each replayed twice in orders of their own; ``singles``
    more draws, replayed once.

    ``prior`` [n]: probability of each coin, fold after fold. ``unknown`` [n]: which records stand in for others; they
    have coins of their own in each replay, since whatever they stand for is as little known as an order.
    """
    draw = seeds.numpy_generator(seed, "replays", "coins")
    bounds = np.cumsum([len(fold) for fold in folds])[:-1]
    priors = np.split(prior, bounds)
    loose = np.split(np.zeros(len(prior), dtype=np.bool_) if unknown is None else unknown, bounds)
    coins, answers = [], []
    passes: list[Mapping[int, int]] = []
    for number in range(pairs + singles):
        flips = [_some(draw, chances) for chances in priors]
        for again in range(2 if number < pairs else 1):
            if again and unknown is not None and unknown.any():
                other = [_some(draw, chances) for chances in priors]
                flips = [np.where(some, b, a) for some, a, b in zip(loose, flips, other, strict=True)]
            private = [Records(fold.x[flip], fold.y[flip]) for fold, flip in zip(folds, flips, strict=True)]
            coins.append(np.concatenate(flips))
            naming = _naming(seed, number, again)
            answers.append(replay.answers(private, asked, naming))
            if replay.held_out and not again:
                passes.append(replay.passes(private, naming))
    kept = {t: round(float(np.median([one[t] for one in passes]))) for t in passes[0]} if passes else {}
    return Drawn(np.array(coins, dtype=np.bool_), answers, pairs, kept)


def noises(readings: Mapping[int, Reading], found: Drawn, sent: Sent | None = None) -> dict[int, Noise]:
    """The noise of every round that was read. ``sent``: what a defense makes of an answer; None: nothing."""
    result = {}
    for round, read in readings.items():
        paired = found.answers[: 2 * found.pairs]
        plain = [read.features(one[round]).double() for one in paired]
        seen, slope, surprise = plain, 1.0, 0.0
        told = [] if sent is None else [sent(one[round], round, i) for i, one in enumerate(paired)]
        if isinstance(read, Hard) and told:
            wrong = [
                float((one.labels != x.argmax(dim=1)).double().mean())
                for one, x in zip(told, plain, strict=True)
                if isinstance(one, Hard)
            ]
            surprise = sum(wrong) / max(1, len(wrong))
        elif told and all(type(one) is type(read) for one in told) and isinstance(read, MEASURED):
            seen = [one.observed.double() for one in told if isinstance(one, MEASURED)]
            x, y = torch.cat(plain), torch.cat(seen)
            slope = float((x * y).sum() / (x * x).sum().clamp_min(1e-12))
        gaps = torch.stack([(a - b) / 2**0.5 for a, b in zip(seen[::2], seen[1::2], strict=True)])
        result[round] = replace(_split(gaps), slope=slope, surprise=max(0.01, surprise))
    return _evened(result)


def _evened(found: dict[int, Noise]) -> dict[int, Noise]:
    """A round of many records, such as that of the probes, counts as much as the round of the fewest.

    Many records share more patterns than a few pairs of replays can show, and would be read as if they did not. What
    is read without them (levels, the largest alone, labels) goes by ``sigma`` and stays as it is.
    """
    number = {round: len(noise.spread) for round, noise in found.items() if noise.spread is not None}
    return {
        round: replace(noise, spread=noise.spread * (number[round] / min(number.values())) ** 0.5)
        if noise.spread is not None
        else noise
        for round, noise in found.items()
    }


def _split(gaps: Tensor) -> Noise:
    """Spread, and what records share, of differences [pairs, N, q].

    The covariance over records, all columns alike, is a mean of two: what the differences show, which are few, and a
    spread of each record's own with one part that all records share. It is ``S + U U'`` with S diagonal; with
    ``S^-1/2 U = V s Z'`` its inverse has the root ``(1 - V diag(1 - (1 + s^2)^-1/2) V') S^-1/2``.
    """
    pairs, number, columns = gaps.shape
    free = pairs * max(1, columns - 1)
    mean = gaps.mean(dim=1, keepdim=True)
    by_record = ((gaps - mean) ** 2).sum(dim=(0, 2)) / free * (number / max(1, number - 1))
    alone = float(by_record.mean())
    common = max(0.0, float((mean**2).sum()) / free - alone / number)
    alone = max(alone, FLOOR**2)
    own = (SIMPLE * (by_record + alone) / 2).clamp_min(FLOOR**2).sqrt()[:, None]
    shown = gaps.permute(1, 0, 2).reshape(number, -1) * ((1 - SIMPLE) / free) ** 0.5
    together = torch.cat([shown, torch.full_like(own, (SIMPLE * common) ** 0.5)], dim=1)
    shared, s, _ = torch.linalg.svd(together / own, full_matrices=False)
    return Noise(alone**0.5, own.float(), shared.float(), (1 - (1 + s**2).rsqrt()).float())


def _some(draw: np.random.Generator, chances: Float) -> Bool:
    """Coins of one fold; at least one record is in."""
    flips = draw.random(len(chances)) < chances
    if len(flips) and not flips.any():
        flips[draw.integers(len(flips))] = True
    return np.asarray(flips, dtype=np.bool_)


def _naming(seed: int, number: int, again: int) -> Callable[[Private | Fit], Seed]:
    def naming(event: Private | Fit) -> Seed:
        name = "private" if isinstance(event, Private) else event.name
        return seed, ("replay", number, again, name, event.round)

    return naming
