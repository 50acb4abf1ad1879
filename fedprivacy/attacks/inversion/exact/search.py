"""Sparse vectors in the span of a gradient's left factor.

Behind a ReLU a record leaves ``dL/dz`` zero at every row that it does not activate, about half of them, so with
``dL/dW = L R`` each record is a direction q for which ``L q`` has many zeros, and hardly any other direction has. SPEAR
(Dimitrov et al. 2024, section 4) draws B - 1 random rows and takes the direction that they all map to zero: right when
one record activates none of them, once in ``2^(B - 1)`` draws. An inverse of B rows gives B such directions, each zero
at all rows but one (as an information set does in decoding: Prange 1962). Here a draw is also a start: the L1 norm of
``L q`` on the sphere is lowered by reweighted least squares (Candes, Wakin, Boyd 2008; Daubechies et al. 2010)::

    q <- normalised (L^T diag(w / |L q|) L)^-1 q

to a corner, where most starts meet a record, up to batches for which no draw would ever succeed. ``w`` weighs the rows
by how seldom public records activate them, times noise of its own for each start, so that starts part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.exact.head import astray

SMOOTHING, SHRINK = 0.1, 0.7
HELD = 3
DRAWS, PROBES = 1024, 36
"""Draws a round, and rows that tell whether a direction of a draw is worth a closer look: a sixth of them zero."""
COARSE, CLOSER = 1e-3, 0.03
"""Entries of ``L q`` that count as nearly zero after the sweeps, over their usual size, and how that closes in."""
RARE = 3.0
"""Power of the share of public records that leave a row alone, in the row's weight."""
SAME = 1e-6
MIXED = 0.5
"""How far astray a direction is, at least, that counts for a mixture of records."""
PARTS = ("vectors", "zero", "score", "astray")


@dataclass(frozen=True, eq=False)
class Rows:
    """What public records say of the m rows: ``active`` [m], the share of them that activates a row, and ``size`` [m],
    the root mean square derivative where they do. ``head`` [m, classes]: the last layer, where it reads these rows."""

    active: Tensor
    size: Tensor
    head: Tensor | None = None

    @staticmethod
    def unknown(rows: int, head: Tensor | None = None) -> Rows:
        """No public record: all rows alike."""
        return Rows(torch.full((rows,), 0.5, dtype=torch.float64), torch.ones(rows, dtype=torch.float64), head)

    def score(self, zero: Tensor) -> Tensor:
        """Log-likelihood ratio [k] of patterns ``zero`` [k, m]: one record leaves a row alone with 1 - a, where a is
        its share in ``active``, two of them with (1 - a)^2."""
        active = self.active.clamp(0.01, 0.99)
        return torch.where(zero, -torch.log1p(-active), -torch.log(2 - active)).sum(1)

    def judged(self, vectors: Tensor, left: Tensor, zero: Tensor) -> Directions:
        """Directions ``vectors`` [k, B] that leave ``left`` [m, B] zero at the rows ``zero`` [k, m]."""
        told = torch.zeros(len(vectors), dtype=vectors.dtype)
        if self.head is not None:
            told = astray(self.head, vectors @ left.T, zero)
        return Directions(vectors, zero, self.score(zero), told)


@dataclass(frozen=True, eq=False)
class Directions:
    """``vectors`` [k, B] of norm 1, the rows ``zero`` [k, m] at which they leave ``L q`` zero, and the ``score`` [k] of
    that pattern, highest first: log-likelihood of one record's over that of two records mixed. ``astray`` [k]: how far
    each is from what a record leaves behind the last layer, all 0 where that says nothing."""

    vectors: Tensor
    zero: Tensor
    score: Tensor
    astray: Tensor

    @staticmethod
    def none(size: int, rows: int) -> Directions:
        """No direction in B = ``size`` dimensions."""
        empty = torch.zeros(0, dtype=torch.float64)
        return Directions(empty.new_zeros(0, size), torch.zeros(0, rows, dtype=torch.bool), empty, empty)

    @property
    def likely(self) -> Tensor:
        """Vectors of those that look like one record rather than like two."""
        return self.vectors[(self.score > 0) & (self.astray < MIXED)]

    @property
    def nearest(self) -> Directions:
        """The same, from the least ``astray`` on."""
        return self.chosen(self.astray.argsort(stable=True))

    def chosen(self, places: Tensor) -> Directions:
        """Those at ``places``, a mask or numbers."""
        return Directions(*(getattr(self, part)[places] for part in PARTS))


class Search:
    """Starts and sweeps on one left factor [m, B], orthonormal; entries of ``L q`` below ``rounding`` are zero.

    Once ``clock`` is over no further sweep begins.

    Rows without any gradient say nothing and are left out.
    """

    def __init__(self, left: Tensor, rows: Rows, rounding: float, clock: Clock = UNLIMITED) -> None:
        self._left, self._rows, self._rounding, self._clock = left, rows, rounding, clock
        self._told = torch.linalg.vector_norm(left, dim=1) > rounding
        scale = torch.where(rows.size > 0, rows.size, rows.size[rows.size > 0].median())[self._told]
        some = left[self._told] / scale[:, None]
        self._weight = (1 - rows.active[self._told]).clamp_min(1e-3) ** RARE
        _, self._triangle = torch.linalg.qr(some * self._weight.sqrt()[:, None])
        self._turned = torch.linalg.solve_triangular(self._triangle, some, upper=True, left=False)

    def drawn(self, number: int, generator: torch.Generator, sweeps: int, apart: Tensor) -> Directions:
        """Directions that random draws meet, as published, or that ``number`` of them come to in ``sweeps``.

        For the first ``HELD`` sweeps they are kept orthogonal to ``apart`` [k, B], the directions known already.
        """
        every = self._draws(DRAWS, generator)
        probes = torch.randint(len(self._turned), (PROBES,), generator=generator)
        value = (every @ self._turned[probes].T).abs()
        hits, order = (value < COARSE * value.mean(1, keepdim=True)).sum(1).sort(descending=True, stable=True)
        met = every[order[:number][hits[:number] >= PROBES // 6]]
        if not sweeps:
            return self._found(met)
        start = every[torch.randint(len(every), (number,), generator=generator)]
        noise = torch.randn(number, len(self._turned), generator=generator, dtype=start.dtype)
        away, _ = torch.linalg.qr(self._triangle @ apart.T)
        start = _normalised(start - start @ away @ away.T)
        return self._found(torch.cat([met, self._swept(start, self._weight * noise.exp(), sweeps, away)]))

    def guided(self, silent: Tensor, sweeps: int) -> Directions:
        """Directions that lie near those rows [k, m] which are likely zero, as probabilities."""
        own = self._weight * silent[:, self._told] ** 2
        gram = self._turned.T @ (own[:, :, None] * self._turned)
        return self._found(self._swept(torch.linalg.eigh(gram).eigenvectors[:, :, 0], own, sweeps, None))

    def _draws(self, number: int, generator: torch.Generator) -> Tensor:
        """B directions for each of ``number`` draws of B rows: each is mapped to zero by all of these but one."""
        size = self._turned.shape[1]
        rows = torch.multinomial(self._weight.expand(number, -1), size, generator=generator)
        inverse, _ = torch.linalg.inv_ex(self._turned[rows])
        return _normalised(inverse.mT.flatten(0, 1).nan_to_num(0.0, 0.0, 0.0))

    def _swept(self, q: Tensor, own: Tensor, sweeps: int, away: Tensor | None) -> Tensor:
        for sweep in range(sweeps):
            if self._clock.over:
                break
            value = (q @ self._turned.T).abs()
            least = SMOOTHING * SHRINK**sweep * value.mean(1, keepdim=True)
            pull = own / (value + least + 1e-12)
            found, _ = torch.linalg.solve_ex(self._turned.T @ (pull[:, :, None] * self._turned), q[:, :, None])
            q = _normalised(found.squeeze(2).nan_to_num(0.0, 0.0, 0.0))
            if away is not None and sweep < HELD:
                q = _normalised(q - q @ away @ away.T)
        return q

    def _found(self, q: Tensor) -> Directions:
        back = torch.linalg.solve_triangular(self._triangle, q.T, upper=True).T
        return refined(self._left, self._rows, _normalised(back), self._rounding)


def refined(left: Tensor, rows: Rows, q: Tensor, rounding: float) -> Directions:
    """``q`` [k, B] fitted to the rows that they leave nearly zero, closer and closer down to ``rounding``.

    Each direction once, and none that leaves too few: a corner rests on B - 1 zeros and shows nothing, so it counts
    with a row more. Rows without any gradient are no zeros.
    """
    if left.shape[1] == 1:
        zero = rounding > left.abs().T
        return rows.judged(left.new_ones(1, 1), left, zero)
    kept, marks = left.new_zeros(0, left.shape[1]), list[Tensor]()
    told = torch.linalg.vector_norm(left, dim=1) > rounding
    coarse = max(rounding, COARSE / len(left) ** 0.5)
    near = ((q @ left.T).abs() < coarse) & told
    for place in near.sum(1).argsort(descending=True, stable=True).tolist():
        zero, vector, limit = near[place], q[place], coarse
        while int(zero.sum()) >= left.shape[1] and fresh(kept, vector):
            vector = torch.linalg.svd(left[zero]).Vh[-1]
            if limit == rounding:
                break
            limit = max(rounding, limit * CLOSER)
            zero = ((left @ vector).abs() < limit) & told
        if limit == rounding and int(zero.sum()) >= left.shape[1] and fresh(kept, vector):
            kept = torch.cat([kept, vector[None]])
            marks.append((left @ vector).abs() < rounding)
    if not marks:
        return Directions.none(left.shape[1], len(left))
    return rows.judged(kept, left, torch.stack(marks))


def fresh(kept: Tensor, vector: Tensor) -> bool:
    """Whether ``vector`` [B] of norm 1 differs from all ``kept`` [k, B]."""
    return bool(((kept @ vector).abs() <= 1 - SAME).all())


def merged(one: Directions, other: Directions, most: int) -> Directions:
    """Both without repetition, the ``most`` of highest score, and half as many that are least astray."""
    new = other.chosen(((other.vectors @ one.vectors.T).abs() <= 1 - SAME).all(1))
    both = Directions(*(torch.cat([getattr(d, part) for d in (one, new)]) for part in PARTS))
    both = both.chosen(both.score.argsort(descending=True, stable=True))
    kept = torch.arange(len(both.vectors)) < most
    kept[both.astray.argsort(stable=True)[: most // 2]] |= bool(both.astray.any())
    return both.chosen(kept)


def _normalised(q: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    return q / size.clamp_min(1e-300)
