"""Products with records that are mostly zero, by what they have in them alone.

A handwritten digit leaves four fifths of its pixels blank. What a perceptron's first layer says of it is a sum of the
few rows of its weights [D, H] that its pixels meet, and the layer's gradient has for each column a sum of the few
slopes of the records that fill it. Torch's weighted bags of rows compute both on a CPU, in half the time of whole
products; the sums are the same up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST, LANES = 128, 16
"""Columns and units below which products are too small to gain; units fill whole cache lines."""
DENSITY = 1 / 3
"""Part of the numbers in columns in use that may be other than zero; from a half on whole products are faster."""


def mostly_zero(x: NDArray[Any], units: int, device: torch.device) -> bool:
    """Whether a layer of ``units`` reads records [N, ...] faster so."""
    if device.type != "cpu" or units < LEAST or units % LANES or math.prod(x.shape[1:]) < LEAST:
        return False
    filled = x != 0
    return 0 < int(np.count_nonzero(filled)) <= DENSITY * len(x) * int(np.count_nonzero(filled.any(0)))


@dataclass(frozen=True, eq=False)
class Bags:
    """A matrix [R, C] by its rows: each has the ``values`` from its start on, in the columns ``places``."""

    places: Tensor
    starts: Tensor
    values: Tensor

    def times(self, other: Tensor) -> Tensor:
        """The product [R, H] with a matrix [C, H], which has to lie in memory row by row; not differentiable."""
        found: Tensor = torch.embedding_bag(other, self.places, self.starts, False, 0, False, self.values)[0]
        return found


@dataclass(frozen=True, eq=False)
class Sparse:
    """A batch of records [B, D], and the same by its columns [D, B]."""

    rows: Bags
    columns: Bags


class SparseRecords:
    """Records ``x`` [N, D], float, from which batches are taken."""

    def __init__(self, x: Tensor) -> None:
        whole = x.numpy()
        places = np.flatnonzero(whole)
        ends = np.cumsum([0, *np.count_nonzero(whole, axis=1)])
        entries = whole.reshape(-1)[places], places % whole.shape[1], ends
        self._matrix = scipy.sparse.csr_matrix(entries, whole.shape)

    def batches(self, order: Tensor, parts: Sequence[slice]) -> list[Sparse]:
        """The records ``order[part]`` of each part; the parts follow one another from 0 on."""
        bounds = np.array([0, *(part.stop for part in parts)], dtype=np.int32)
        width, number = self._matrix.shape[1], len(parts)
        by_row = self._matrix[order[: bounds[-1]].numpy()]
        # The columns of all batches stand side by side, so that one pass over the entries sorts those of all.
        entries = np.diff(by_row.indptr[bounds])
        places = by_row.indices + np.repeat(np.arange(number, dtype=np.int32) * width, entries)
        side = scipy.sparse.csr_matrix((by_row.data, places, by_row.indptr), (bounds[-1], number * width)).tocsc()
        side.indices -= np.repeat(bounds[:-1], entries)
        rows = _bags(by_row, bounds)
        columns = _bags(side, np.arange(number + 1) * width)
        return [Sparse(*of_batch) for of_batch in zip(rows, columns, strict=True)]


def _bags(matrix: Any, bounds: NDArray[Any]) -> list[Bags]:
    """Parts of a compressed matrix of scipy's, cut at ``bounds`` along its compressed axis."""
    places, values = torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data)
    starts = torch.from_numpy(matrix.indptr)
    found = []
    for first, last in pairwise(bounds.tolist()):
        a, b = int(matrix.indptr[first]), int(matrix.indptr[last])
        found.append(Bags(places[a:b], starts[first:last] - a, values[a:b]))
    return found
