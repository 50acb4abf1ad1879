"""The two values that the data room hands out: the records, and who holds which of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records as stored: images uint8 [N, channels, height, width], features float32 [N, d]; labels int64 [N].

    ``digest`` is the SHA-256 of the content, so that caches know data apart. ``notes`` say in plain sentences what
    was left out or changed on the way from the source (bad images, duplicates, standardised columns).
    """

    name: str
    x_train: NDArray[np.generic]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.generic]
    y_test: NDArray[np.int64]
    classes: tuple[str, ...]
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        return tuple(self.x_train.shape[1:])

    @property
    def is_image(self) -> bool:
        """Images are uint8 [channels, height, width]; everything else is a row of features."""
        return self.x_train.ndim == 4


@dataclass(frozen=True, eq=False)
class Division:
    """Who holds which training record (positions in ``Dataset.x_train``). All roles are disjoint.

    ``warmup``: for the common initial model. ``candidates[k][f]``: fold f of client k's candidate pool (one fold
    under schedule "whole", one a round under "fresh"); a coin decides which of them are trained on.
    ``validation[k][f]``: looked at, never trained on, never a candidate. ``public[t]``: fold of round t + 1 (the
    same array every round when static). ``auxiliary``: the adversary's own records.
    """

    warmup: Ids
    candidates: tuple[tuple[Ids, ...], ...]
    validation: tuple[tuple[Ids, ...], ...]
    public: tuple[Ids, ...]
    auxiliary: Ids

    def pool(self, client: int) -> Ids:
        """All candidates of one client, fold after fold."""
        return np.concatenate(self.candidates[client])
