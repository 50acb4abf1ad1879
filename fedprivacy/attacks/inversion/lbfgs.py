"""L-BFGS for many independent problems at once, with the update rule of ``torch.optim.LBFGS`` without line search.

Nocedal, "Updating quasi-Newton matrices with limited storage" (1980). The two-loop recursion is done on
coefficients: with R = upper triangle of ``S^T Y`` (oldest pair first) its first loop is the solve
``R a = S^T g`` and its second the solve ``R^T c = D a - h Y^T q``, ``q = g - Y a`` (Byrd, Nocedal, Schnabel 1994,
"Representations of quasi-Newton matrices"). So a step reads the stored pairs twice, whatever their number, and the
Python cost does not grow with it. Problems keep their own pairs, step sizes and stops; finished ones leave the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x [A, D], problems [A]) -> value [A], derivative [A, D]: the rows are those problems, in that order."""
CURVATURE = 1e-10


@dataclass(frozen=True, eq=False)
class Minimum:
    """Lowest point seen: ``x`` [P, D], ``value`` [P]; ``failed`` [P] where the last value was not finite."""

    x: Tensor
    value: Tensor
    failed: Tensor
    evaluations: int


class _Memory:
    """Curvature pairs of every problem, [P, history, (s, y), D] in ring order, and their inner products."""

    def __init__(self, x: Tensor, history: int, precision: torch.dtype) -> None:
        problems, size = x.shape
        self.history = history
        self.pairs = x.new_zeros(problems, history, 2, size, dtype=precision)
        self.sy = torch.eye(history, dtype=x.dtype, device=x.device).repeat(problems, 1, 1)
        self.yy = x.new_zeros(problems, history, history)
        self.dots = x.new_zeros(problems, 2 * history)
        self.scale = x.new_ones(problems)
        self.count = torch.zeros(problems, dtype=torch.long, device=x.device)
        self.filled = 0

    def keep(self, rows: Tensor) -> None:
        """Forget all problems but ``rows``."""
        for name in ("pairs", "sy", "yy", "dots", "scale", "count"):
            setattr(self, name, getattr(self, name)[rows])

    def _stored(self) -> Tensor:
        return self.pairs.flatten(1, 2)[:, : 2 * self.filled]

    def _products(self, g: Tensor) -> Tensor:
        """(s_j . g, y_j . g) of all stored pairs, [P, 2 history]."""
        pairs, slopes = self._stored(), g.to(self.pairs)
        if g.is_cuda:
            found = torch.bmm(pairs, slopes.unsqueeze(2)).squeeze(2)
        else:
            found = torch.stack([torch.mv(stored, slope) for stored, slope in zip(pairs, slopes, strict=True)])
        return F.pad(found.to(g), (0, 2 * (self.history - self.filled)))

    def _combination(self, weights: Tensor) -> Tensor:
        """Sum of all stored vectors with ``weights`` [P, 2 filled]."""
        pairs, shares = self._stored(), weights.to(self.pairs)
        if weights.is_cuda:
            return torch.bmm(shares.unsqueeze(1), pairs).squeeze(1).to(weights)
        found = torch.stack([torch.mv(stored.T, share) for stored, share in zip(pairs, shares, strict=True)])
        return found.to(weights)

    def add(self, s: Tensor, y: Tensor, g: Tensor) -> None:
        """Store a pair in each problem where ``s . y > 1e-10``; ``g`` [P, D] is the derivative now."""
        sy, yy = torch.linalg.vecdot(s, y), torch.linalg.vecdot(y, y)
        good = sy > CURVATURE
        row, slot = torch.nonzero(good).squeeze(1), (self.count % self.history)[good]
        self.pairs[row, slot] = torch.stack([s, y], 1)[good].to(self.pairs)
        self.scale[good] = sy[good] / yy[good]
        self.count[good] += 1
        self.filled = min(self.history, int(self.count.max()))
        before, self.dots = self.dots, self._products(g)
        change = (self.dots - before).unflatten(1, (-1, 2))
        self.sy[row, :, slot] = change[good, :, 0]
        self.yy[row, :, slot] = change[good, :, 1]
        self.yy[row, slot, :] = change[good, :, 1]
        self.sy[row, slot, slot] = sy[good]
        self.yy[row, slot, slot] = yy[good]

    def descent(self, g: Tensor) -> Tensor:
        """``-H g`` [P, D] by the two-loop recursion."""
        k = self.filled
        if k == 0:
            return -self.scale[:, None] * g
        slots = torch.arange(k, device=g.device)
        order = ((self.count - self.history).clamp_min(0)[:, None] + slots) % self.history
        dots = self.dots[:, : 2 * k].unflatten(1, (k, 2))
        r = self.sy[:, :k, :k]
        if k == self.history:
            r = r.gather(1, order[:, :, None].expand(-1, -1, k)).gather(2, order[:, None, :].expand(-1, k, -1))
        a = torch.linalg.solve_triangular(r, dots[:, :, 0].gather(1, order).unsqueeze(2), upper=True).squeeze(2)
        a_slot = torch.zeros_like(a).scatter_(1, order, a)
        y_q = dots[:, :, 1] - torch.bmm(self.yy[:, :k, :k], a_slot.unsqueeze(2)).squeeze(2)
        right = torch.diagonal(r, dim1=1, dim2=2) * a - self.scale[:, None] * y_q.gather(1, order)
        c = torch.linalg.solve_triangular(r.mT, right.unsqueeze(2), upper=False).squeeze(2)
        c_slot = torch.zeros_like(c).scatter_(1, order, c)
        weights = torch.stack([-c_slot, self.scale[:, None] * a_slot], 2).flatten(1)
        return self._combination(weights) - self.scale[:, None] * g


def minimise(
    evaluate: Evaluate,
    start: Tensor,
    iterations: int,
    history: int = 100,
    lr: float = 1.0,
    stop_below: Tensor | None = None,
    precision: torch.dtype | None = None,
    clock: Clock = UNLIMITED,
) -> Minimum:
    """Minimise every row of ``start`` [P, D] on its own, from ``iterations`` evaluations each.

    ``torch.optim.LBFGS`` with ``outer`` calls of ``step``, ``max_iter=inner``, no line search and tolerances 0 makes
    the same ``outer * inner`` evaluations at the same points. ``precision`` (None: that of ``start``) is the one pairs
    are stored in: reading them is most of the work, and a direction need not be exact to descend. A problem stops
    early when its value falls below ``stop_below`` [P], when its direction no longer descends, or when value or
    derivative stop being finite, and all stop when ``clock`` is over.
    """
    x, problems = start.clone(), torch.arange(start.shape[0], device=start.device)
    best_x, best = start.clone(), start.new_full((start.shape[0],), torch.inf)
    failed = torch.zeros_like(problems, dtype=torch.bool)
    memory = _Memory(x, min(history, max(1, iterations)), precision or x.dtype)
    step, slope = torch.zeros_like(x), torch.zeros_like(x)
    evaluations = 0
    for iteration in range(iterations):
        if iteration and clock.over:
            break
        value, now = evaluate(x, problems)
        evaluations += len(problems)
        finite = value.isfinite() & now.isfinite().all(1)
        failed[problems] = ~finite
        better = finite & (value < best[problems])
        best[problems[better]], best_x[problems[better]] = value[better], x[better]
        if iteration:
            memory.add(step, now - slope, now)
        direction = memory.descent(now)
        going = finite & (torch.linalg.vecdot(direction, now) < 0)
        if stop_below is not None:
            going &= value > stop_below[problems]
        if not going.all():
            rows = torch.nonzero(going).squeeze(1)
            if not len(rows):
                break
            problems, x, now, direction = problems[rows], x[rows], now[rows], direction[rows]
            memory.keep(rows)
        if iteration == 0:
            memory.dots = torch.zeros_like(memory.dots)
            step = direction * (lr / now.abs().sum(1, keepdim=True)).clamp_max(lr)
        else:
            step = lr * direction
        x, slope = x + step, now
    return Minimum(best_x, best, failed, evaluations)
