"""Coins from a client's answers: descent on relaxed coins through the unrolled run, with Anderson mixing.

What answers say of the coins is badly conditioned: a few directions, such as how many records of a class are in, show a
thousand times more than most others, and steps along the gradient spend themselves on those. The answers of all points
passed so far tell how answers change between them. Of all their mixtures, the one whose mixed residuals are smallest is
where the next step starts (D. G. Anderson, J. ACM 12, 1965: with exact answers of a linear run, that of a Krylov
method with full memory). From there it leads along the mixed gradient, each coin's part over the root of all its
squares so far (Duchi, Hazan, Singer, JMLR 12, 2011). Each pass draws a new order of the batches; a mixture averages
over them, and the squares that are minimised hold exactly as much of their noise as its weights leave in.

Coins have a prior: its squares, ``prior`` times as heavy as those of a Gaussian with the same mean and variance, are
added to those of the residuals, which are not independent and so worth less than they look. The estimate is a linear
one, and so are its log-odds: :func:`log_odds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd import grad

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.readings import Noise, Reading, weights

BOUND = 0.982
"""Largest relaxed coin that is simulated; the smallest is as far from 0. What is aimed at may lie beyond."""
TINY = 1e-12
RELIABLE = 0.9
"""Largest reliability that is believed."""


@dataclass(frozen=True)
class Descent:
    """``steps`` that move coins by ``first`` at first and ``last`` at last, root mean square; above 0, ``start_rate``
    is by how much they move each weight of the start at first, where it is not known.

    Mixtures are of the last ``memory`` points; the estimate is the mean over the last quarter of the steps.
    """

    steps: int
    first: float = 0.15
    last: float = 0.03
    prior: float = 3.0
    memory: int = 30
    start_rate: float = 0.0

    def odds(
        self,
        client: Client,
        start: Tensor,
        readings: Mapping[int, Reading],
        noise: Mapping[int, Noise],
        seed: int,
        scale: Tensor | None = None,
        prior: Tensor | None = None,
    ) -> Tensor:
        """Log-odds [n] that each record of ``client`` was trained on.

        ``scale`` [n]: largest weight of a record, 1 for a candidate; more for one that stands for several. ``prior``
        [n]: probability of each coin, one half where it is not given.
        """
        number = len(client.x)
        largest = torch.ones(number, device=start.device) if scale is None else scale
        chance = torch.full((number,), 0.5, device=start.device) if prior is None else prior.to(start)
        chance = chance.clamp(1 - BOUND, BOUND)
        variance, coins, found = chance * (1 - chance), chance, []
        passed, squares, moved = Mixer(self.memory), torch.zeros_like(chance), torch.zeros_like(start)
        for step in range(1, self.steps + 1):
            drawn = seeds.value(seed, "descent", step)
            at = _looked(client, start, largest * coins, readings, noise, drawn, not self.start_rate)
            off = torch.cat([at.residuals, (coins - chance) * (self.prior / variance).sqrt()])
            heavy = torch.cat([at.heavy, torch.ones_like(coins)])
            by_coins = at.by_coins * largest + self.prior * (coins - chance) / variance
            point = {"coins": coins, "by_coins": by_coins}
            if self.start_rate:
                point |= {"start": start, "by_start": at.by_start}
            mixed = passed.mixed(off, heavy, point)
            size = self.first * (self.last / self.first) ** ((step - 1) / max(1, self.steps - 1))
            squares += by_coins**2
            aimed = _aimed(mixed["coins"].clamp(1 - BOUND, BOUND), mixed["by_coins"] / (squares.sqrt() + TINY), size)
            coins = aimed.clamp(1 - BOUND, BOUND)
            if step > self.steps - max(1, self.steps // 4):
                found.append(aimed)
            if self.start_rate:
                moved += at.by_start**2
                pull = mixed["by_start"] / (moved.sqrt() + TINY)
                start = mixed["start"] - self.start_rate * (size / self.first) * pull / (_rms(pull) + TINY)
        return log_odds(torch.stack(found).mean(dim=0), chance) if found else torch.zeros_like(chance)


@dataclass(frozen=True, eq=False)
class Looked:
    """One pass: all residuals with what their squares count, and the derivatives of the cost by weights and start."""

    residuals: Tensor
    heavy: Tensor
    by_coins: Tensor
    by_start: Tensor


def _looked(
    client: Client,
    start: Tensor,
    coins: Tensor,
    readings: Mapping[int, Reading],
    noise: Mapping[int, Noise],
    seed: int,
    start_known: bool,
) -> Looked:
    done = client.forward(start, coins, seed, start_known=start_known)
    by_answers = {t: slope(readings[t], logits, noise[t]) for t, logits in done.answers.items()}
    off = [readings[t].residuals(logits, noise[t]).flatten() for t, logits in sorted(done.answers.items())]
    by_coins, by_start = derivatives(done, client.optimiser, start, by_answers)
    return Looked(torch.cat(off), torch.cat([weights(one) for one in off]), by_coins, by_start)


def _aimed(held: Tensor, pull: Tensor, size: float) -> Tensor:
    """Where a step of root mean square ``size`` against ``pull`` leads; what stands at its bound is not counted."""
    free = torch.where(pull < 0, held < BOUND, held > 1 - BOUND)
    return held - size * pull / (_rms(pull * free) + TINY)


@dataclass
class Mixer:
    """The last ``memory`` points, with the residuals at each."""

    memory: int
    residuals: list[Tensor] = field(default_factory=list)
    points: list[Mapping[str, Tensor]] = field(default_factory=list)

    def mixed(self, residuals: Tensor, heavy: Tensor, point: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Remember a point, and return the mixture of all with the smallest ``sum(heavy * residuals^2)``."""
        self.residuals, self.points = [*self.residuals, residuals], [*self.points, point]
        self.residuals, self.points = self.residuals[-self.memory :], self.points[-self.memory :]
        every = torch.stack(self.residuals)
        products = ((every * heavy) @ every.T).double()
        number = len(every)
        # Answers that lie inside what was told of them leave no residual at all: then all points count alike.
        products += (1e-6 * products.trace() / number + TINY) * torch.eye(number).to(products)
        share = torch.linalg.solve(products, torch.ones_like(products[0]))
        share = (share / share.sum()).to(residuals.dtype)
        return {name: sum(s * p[name] for s, p in zip(share, self.points, strict=True)) for name in point}


def log_odds(estimate: Tensor, chance: Tensor) -> Tensor:
    """Log likelihood ratio [n] of coins with probability ``chance`` [n] whose linear estimate is ``estimate`` [n].

    With reliability R, estimates have mean ``p + R (coin - p)`` and variance ``R (1 - R) p (1 - p)`` given the coin.
    """
    variance = chance * (1 - chance)
    reliability = min(RELIABLE, float(((estimate - chance) ** 2).mean() / variance.mean()))
    return (estimate - chance - reliability * (0.5 - chance)) / (variance * (1 - reliability))


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def slope(read: Reading, logits: Tensor, noise: Noise) -> Tensor:
    """Derivative of a reading's cost by the logits [N, C]."""
    free = logits.detach().requires_grad_(True)
    return grad(read.cost(free, noise), free)[0]
