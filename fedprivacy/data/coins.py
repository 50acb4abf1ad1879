"""The coins: which candidates a client trains on.

Membership is decided by one independent coin a candidate, so members and non-members are draws from the same
distribution and nothing but training tells them apart. The number of members of a client is therefore random; an
exact half would let each coin be inferred from the others (Carlini et al. 2022, arXiv 2112.03570, draw subsets the
same way; Steinke et al. 2023, arXiv 2305.08846, need the independence for their bound).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.data.records import Division

Bool = NDArray[np.bool_]


def coins(division: Division, inclusion: float, root: int) -> tuple[Bool, ...]:
    """One array a client, in the order of ``division.pool(client)``: True is trained on.

    Each coin is Bernoulli(``inclusion``), 0 < inclusion <= 1; 1 includes everything. Every client has its own named
    seed, so client 3's coins do not depend on how many clients there are. Raises ValueError outside that range.
    """
    return _flip(division, inclusion, root, "coins")


def redraw(division: Division, inclusion: float, root: int, shadow: int) -> tuple[Bool, ...]:
    """Fresh coins for shadow federation ``shadow``, as the adversary draws them; independent of the truth."""
    return _flip(division, inclusion, root, "shadow", shadow, "coins")


def _flip(division: Division, inclusion: float, root: int, *name: seeds.Name) -> tuple[Bool, ...]:
    if not 0 < inclusion <= 1:
        raise ValueError(f"inclusion is a probability above 0, got {inclusion}")
    return tuple(
        seeds.numpy_generator(root, *name, client).random(sum(map(len, folds))) < inclusion
        for client, folds in enumerate(division.candidates)
    )
