"""What the rows of a sent model did while clients trained, and how far that is from what untouched rows do.

Training on (x, y) moves its row along x, downwards where the sent model is sure and wrong about it. So the signal is
the part of the row's change along what the layer reads of the candidate, bias included, with the sign that one step on
the candidate has; its norm alone would count what a client's optimiser still carries from earlier rounds. It is told in
standard deviations of the same quantity where nobody trained: in rows that wait for the adversary's own records, and,
since one client at most holds a candidate, in all clients' but the largest. No coin and no owner is used.
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

ROUNDING = 2.0**-23
"""Of float32: a change of a row below this share of its size is none."""

HALFWAY = 1e-3
"""How exactly a trap lies halfway between two responses, as a share of the larger one."""


@dataclass(frozen=True, eq=False)
class Moved:
    """One source's changes in alternative ``number``: of the rows of ``records`` [k] (positions), ``values`` [k].

    ``client`` None: the mean of all clients. ``round`` in which it was sent. ``decoys`` [k]: whether nobody trains on
    the record. ``floor``: size of rounding errors.
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
    """Records (positions in x [n, ...]) that a row waits for, their rows' signals, and the size of rounding errors.

    ``inputs`` [n, d]: what the layer reads of each record in ``module``, whose weights are ``before``.
    """
    weight, bias = before[layer.weight], before[layer.bias]
    rows, records = waiting(inputs @ weight.T + bias)
    places = records.numpy()
    if not len(rows):
        return places, np.empty(0), 0.0
    along = inputs[records].double()
    change = ((after[layer.weight] - weight)[rows].double() * along).sum(1) + (after[layer.bias] - bias)[rows].double()
    way = falls(module, layer, x[places], y[places], rows.tolist())
    floor = ROUNDING * float(weight.double().square().sum(1).mean().sqrt())
    return places, (way * change / (along.square().sum(1) + 1).sqrt()).numpy(), max(floor, 1e-30)


def waiting(responses: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [k] of a layer that wait for one record, and for which each does, from ``responses`` [n, rows].

    It is read off the model that was sent: a trap lies halfway between one record and the next, and all others are
    below zero (:mod:`fedprivacy.attacks.membership.traps.rows`).
    """
    (one, following), places = responses.double().topk(2, dim=0)
    rows = torch.nonzero((one > 0) & ((one + following).abs() <= HALFWAY * one)).squeeze(1)
    return rows, places[0][rows]


def standardised(read: Sequence[Moved]) -> Iterator[Moved]:
    """The same in standard deviations (by the median absolute one) from where nobody trained, in one alternative."""
    for number in dict.fromkeys(one.number for one in read):
        own = [one for one in read if one.number == number]
        null = _untouched(own)
        centre = float(np.median(null)) if len(null) else 0.0
        spread = 1.4826 * float(np.median(np.abs(null - centre))) if len(null) else 0.0
        for one in own:
            yield replace(one, values=(one.values - centre) / max(spread, one.floor))


def _untouched(own: Sequence[Moved]) -> Float:
    """Signals of rows that nobody trained on: decoys, and of each question all clients' but the largest."""
    quiet = [one.values[one.decoys] for one in own]
    if len(own) > 1 and all(np.array_equal(one.records, own[0].records) for one in own):
        asked = ~own[0].decoys
        quiet.append(np.sort([one.values[asked] for one in own], axis=0)[:-1].ravel())
    return np.concatenate(quiet)
