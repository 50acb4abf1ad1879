"""The coins: which candidates a client trains on.

Membership is decided by one independent coin a candidate, so members and non-members are draws from the same
distribution and nothing but training tells them apart. The number of members of a client is therefore random; an
exact half would let each coin be inferred from the others (Carlini et al. 2022, arXiv 2112.03570, draw subsets the
same way; Steinke et al. 2023, arXiv 2305.08846, need the independence for their bound).

An audit may let one coin decide more: which of two records is in, or which half of its pool a client trains on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.config.canaries import Coins
from fedprivacy.data.records import Division, Ids

Bool = NDArray[np.bool_]


def coins(division: Division, inclusion: float, root: int, kind: Coins = "record") -> tuple[Bool, ...]:
    """One array a client, in the order of ``division.pool(client)``: True is trained on.

    Each coin is Bernoulli(``inclusion``), 0 < inclusion <= 1; 1 includes everything. Every client has its own named
    seed, so client 3's coins do not depend on how many clients there are. ``kind`` says what one coin decides
    (:func:`units`). Raises ValueError outside that range, and for other coins than records' unless inclusion is 1/2.
    """
    return _flip(division, inclusion, kind, root, "coins")


def redraw(division: Division, inclusion: float, root: int, shadow: int, kind: Coins = "record") -> tuple[Bool, ...]:
    """Fresh coins for shadow federation ``shadow``, as the adversary draws them; independent of the truth."""
    return _flip(division, inclusion, kind, root, "shadow", shadow, "coins")


def members_of(division: Division, flips: Sequence[Bool]) -> tuple[tuple[Ids, ...], ...]:
    """[client][fold] records that the coins ``flips`` (one array a client, in the order of its pool) train on."""
    found = []
    for folds, mine in zip(division.candidates, flips, strict=True):
        ends = np.cumsum([len(fold) for fold in folds])
        found.append(tuple(fold[mine[end - len(fold) : end]] for fold, end in zip(folds, ends, strict=True)))
    return tuple(found)


def units(division: Division, kind: Coins) -> tuple[tuple[Ids, Ids], ...]:
    """Per client, in the order of its pool: (number of the coin that decides the candidate [n], its side [n]).

    Side 1 is in where the coin falls on one, side -1 where it does not; a candidate of side 0 is left over from a
    pairing, is never trained on and plays no part. Both sides lie in the same fold, so they cost the same rounds.
    """
    found = []
    for folds in division.candidates:
        unit, side, next_coin = [], [], 0
        for fold in folds:
            place = np.arange(len(fold))
            if kind == "record":
                unit.append(next_coin + place)
                side.append(np.ones(len(fold), dtype=np.int64))
                next_coin += len(fold)
                continue
            half = len(fold) // 2
            unit.append(next_coin + place // 2 if kind == "pair" else np.zeros(len(fold), dtype=np.int64))
            sign = 1 - 2 * (place % 2 if kind == "pair" else (place >= half).astype(np.int64))
            side.append(np.where(place < 2 * half, sign, 0))
            next_coin += half
        found.append((np.concatenate(unit), np.concatenate(side)))
    return tuple(found)


def _flip(division: Division, inclusion: float, kind: Coins, root: int, *name: seeds.Name) -> tuple[Bool, ...]:
    if not 0 < inclusion <= 1:
        raise ValueError(f"inclusion is a probability above 0, got {inclusion}")
    if kind != "record" and inclusion != 0.5:
        raise ValueError(f"a coin that decides a {kind} is fair, got inclusion {inclusion}")
    flips = []
    for client, (unit, side) in enumerate(units(division, kind)):
        coin = seeds.numpy_generator(root, *name, client).random(int(unit.max(initial=-1)) + 1) < inclusion
        flips.append(np.where(coin[unit], side == 1, side == -1))
    return tuple(flips)
