"""What the rows of a sent model did while clients trained, and how far that is from what untouched rows do.

Training on (x, y) moves its row along x, downwards where the sent model is sure and wrong about it. So the signal is
the part of the row's change along what the layer reads of the candidate, bias included, with the sign that one step on
the candidate has; its norm alone would count what a client's optimiser still carries from earlier rounds. What it
carries are gradients of other records, which have a part along this one. So there is a second reading: the part along
the row itself, which answers to its own record and to hardly any other. Moments that outlive a round make it the better
one (layers that travel in turn, momentum); Adam's first steps, which know no sizes, the worse.

Either is told in standard deviations of the same quantity where nobody trained: in rows that wait for the adversary's
own records, and, since one client at most holds a candidate, in all clients' but the largest. The readings are added,
each by how far the largest stand out from those in it. No coin and no owner is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.membership.traps.layer import TrapLayer, falls
from fedprivacy.federation.environment import Part

READINGS = 2
"""Along the record, and along the row."""

LAST = 0.9
"""Quantile at which readings are held against where nobody trained."""

ROUNDING = 2.0**-23
"""Of float32: a change of a row below this share of its size is none."""

HALFWAY = 1e-3
"""How exactly a trap lies halfway between two responses, as a share of the larger one."""


@dataclass(frozen=True, eq=False)
class Moved:
    """One source's changes in alternative ``number``: of the rows of ``records`` [k] (positions), ``values`` [k, 2].

    ``client`` None: the mean of all clients. ``round`` in which it was sent. ``decoys`` [k]: whether nobody trains on
    the record. ``floor``: size of rounding errors in ``values``. Standardised values are of one reading, [k].
    """

    number: int
    round: int
    client: int | None
    records: Int
    values: Float
    decoys: NDArray[np.bool_]
    floor: float


def moved(
    module: nn.Module, layer: TrapLayer, inputs: Tensor, before: Part, after: Part, x: NDArray[Any], y: Int
) -> tuple[Int, Float, float]:
    """Records (positions in x [n, ...]) that a row waits for, their rows' signals [k, 2], the size of rounding errors.

    ``inputs`` [n, d]: what the layer reads of each record in ``module``, whose weights are ``before``.
    """
    weight, bias = before[layer.weight], before[layer.bias]
    responses = inputs @ weight.T + bias
    rows, records = waiting(responses)
    places = records.numpy()
    if not len(rows):
        return places, np.empty((0, READINGS)), 0.0
    row, along = weight[rows].double(), inputs[records].double()
    by_weight, by_bias = (after[layer.weight] - weight)[rows].double(), (after[layer.bias] - bias)[rows].double()
    way = falls(module, layer, x[places], y[places], rows.tolist())
    record = ((by_weight * along).sum(1) + by_bias) / (along.square().sum(1) + 1).sqrt()
    # A change by b times (x, 1) of any record, and what it is worth on the row: b times its response less the mean one.
    usual = responses[:, rows].double().mean(dim=0)
    discriminant = (by_weight * row).sum(1) - (usual - bias[rows].double()) * by_bias
    own = discriminant * (along.square().sum(1) + 1).sqrt() / (responses[records, rows].double() - usual)
    floor = ROUNDING * float(weight.double().square().sum(1).mean().sqrt())
    return places, (way[:, None] * torch.stack([record, own], dim=1)).numpy(), max(floor, 1e-30)


def waiting(responses: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [k] of a layer that wait for one record, and for which each does, from ``responses`` [n, rows].

    It is read off the model that was sent: a trap lies halfway between one record and the next, and all others are
    below zero (:mod:`fedprivacy.attacks.membership.traps.rows`).
    """
    (one, following), places = responses.double().topk(2, dim=0)
    rows = torch.nonzero((one > 0) & ((one + following).abs() <= HALFWAY * one)).squeeze(1)
    return rows, places[0][rows]


def standardised(read: Sequence[Moved]) -> Iterator[Moved]:
    """The same in standard deviations (by the median absolute one) from where nobody trained, both readings in one.

    Their noise is nearly independent, so each counts by how far the largest stand out in it (Fisher's discriminant for
    noise of one size); the weights have norm 1, so that the sum is in standard deviations too.
    """
    numbers = list(dict.fromkeys(one.number for one in read))
    found = [[list(_standardised(read, number, way)) for number in numbers] for way in range(READINGS)]
    out = np.array([_stand_out(alternatives) for alternatives in found])
    weights = out / np.linalg.norm(out) if out.any() else np.full(READINGS, READINGS**-0.5)
    for alternatives in zip(*found, strict=True):
        for ways in zip(*alternatives, strict=True):
            yield replace(ways[0], values=weights @ np.stack([one.values for one in ways]))


def _standardised(read: Sequence[Moved], number: int, way: int) -> Iterator[Moved]:
    """One alternative in one reading."""
    own = [replace(one, values=one.values[:, way]) for one in read if one.number == number]
    null = _untouched(own)
    centre = float(np.median(null)) if len(null) else 0.0
    spread = 1.4826 * float(np.median(np.abs(null - centre))) if len(null) else 0.0
    for one in own:
        yield replace(one, values=(one.values - centre) / max(spread, one.floor))


def _stand_out(alternatives: Sequence[Sequence[Moved]]) -> float:
    """How far the largest values of questions lie above those where nobody trained, by their last tenth; no member is
    needed, and no more than a tenth of the questions about one."""
    null = np.concatenate([_untouched(own) for own in alternatives])
    asked = np.concatenate([_largest(own) for own in alternatives])
    if not len(null) or not len(asked):
        return 0.0
    return max(0.0, float(np.quantile(asked, LAST) - np.quantile(null, LAST)))


def _largest(own: Sequence[Moved]) -> Float:
    """Each question's largest value over the clients that were asked the same."""
    asked = [one.values[~one.decoys] for one in own]
    return np.asarray(np.max(asked, axis=0) if _same_questions(own) else np.concatenate(asked))


def _untouched(own: Sequence[Moved]) -> Float:
    """Signals of rows that nobody trained on: decoys, and of each question all clients' but the largest."""
    quiet = [one.values[one.decoys] for one in own]
    if len(own) > 1 and _same_questions(own):
        asked = ~own[0].decoys
        quiet.append(np.sort([one.values[asked] for one in own], axis=0)[:-1].ravel())
    return np.concatenate(quiet)


def _same_questions(own: Sequence[Moved]) -> bool:
    return all(np.array_equal(one.records, own[0].records) for one in own)
