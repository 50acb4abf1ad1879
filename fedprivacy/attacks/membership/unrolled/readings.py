"""What a payload says of a client's logits, and how far simulated logits are from it.

Every form has features in which the noise is roughly Gaussian and of one size: log-probabilities, margins of losses,
probabilities themselves where noise of a defense left exact zeros or numbers that are no distribution. Rounded
probabilities say an interval, hard labels an order: what lies inside costs nothing.

Residuals are whitened by the noise that remains when the coins are right: the order of the batches. Most of it moves
many records of a fold together, so what they share is worth little and is taken out in part; levels and the largest
alone are divided by one spread. They are weighted as Cauchy errors, since a few coins that are still wrong throw some
records far off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedprivacy.attacks.membership.decode import grid_bits
from fedprivacy.training.losses import cross_entropy, log_probabilities, predicted_class
from fedprivacy.wire.payload import Predictions

WIDTH = 4.0
"""Whitened residual at which a Cauchy error has half its weight."""
TINY = 1e-38


@dataclass(frozen=True, eq=False)
class Noise:
    """What features are off by under the right coins.

    ``sigma``: spread of single entries; ``spread`` [N, 1]: the same of each record, None where all are alike.
    ``shared`` [N, m]: orthonormal patterns over the records of a fold that all of a column moves by at once, and
    ``taken`` [m]: the part of each that is taken out, 1 for all of it. ``slope``: what a defense makes of a change of
    the features; ``surprise``: share of hard labels that may be anything.
    """

    sigma: float = 1.0
    spread: Tensor | None = None
    shared: Tensor | None = None
    taken: Tensor | None = None
    slope: float = 1.0
    surprise: float = 0.01


class Reading(Protocol):
    """One received message about one fold."""

    def cost(self, logits: Tensor, noise: Noise) -> Tensor:
        """Minus log-likelihood of simulated logits [N, C], up to a constant; differentiable."""

    def residuals(self, logits: Tensor, noise: Noise) -> Tensor:
        """How far simulated logits are off, entry by entry, in units of the noise; near 0 where they are right."""

    def features(self, logits: Tensor) -> Tensor:
        """What the noise is measured in [N, q]."""


def unit(residuals: Tensor) -> float:
    """Residual at which a Cauchy error has half its weight.

    Where residuals are larger than that on the average, as far from the solution, it is their average: else all of
    them would lie where a Cauchy error is flat.
    """
    return max(WIDTH, float(residuals.detach().abs().mean()))


def cauchy(residuals: Tensor) -> Tensor:
    """``(u^2 / 2) sum log(1 + (e / u)^2)`` with u of :func:`unit`: half the sum of squares near 0."""
    u = unit(residuals)
    return u**2 / 2 * torch.log1p((residuals / u) ** 2).sum()


def weights(residuals: Tensor) -> Tensor:
    """What each square counts in :func:`cauchy`, between 0 and 1, at these residuals."""
    return 1 / (1 + (residuals / unit(residuals)) ** 2)


def centred(values: Tensor) -> Tensor:
    """Rows without their mean: logits are known up to a constant."""
    return values - values.mean(dim=1, keepdim=True) if values.shape[1] > 1 else values


def whitened(residuals: Tensor, noise: Noise) -> Tensor:
    """Residuals [N, q] over the noise of each record, with less of the patterns that they share."""
    alone = residuals / (noise.sigma if noise.spread is None else noise.spread.to(residuals.dtype))
    if noise.shared is None or noise.taken is None:
        return alone
    shared, taken = noise.shared.to(alone.dtype), noise.taken.to(alone.dtype)
    return alone - shared @ (taken[:, None] * (shared.T @ alone))


@dataclass(frozen=True, eq=False)
class Measured:
    """What is held against ``observed`` [N, q] entry by entry, once its noise is as wide everywhere."""

    observed: Tensor

    def features(self, logits: Tensor) -> Tensor:
        """What would be observed of ``logits``, [N, q]; every kind of answer has its own."""
        raise NotImplementedError

    def cost(self, logits: Tensor, noise: Noise) -> Tensor:
        return cauchy(self.residuals(logits, noise))

    def residuals(self, logits: Tensor, noise: Noise) -> Tensor:
        return whitened(noise.slope * self.features(logits) - self.observed, noise)


@dataclass(frozen=True, eq=False)
class Soft(Measured):
    """Log-probabilities, up to a constant a row: of logits or of probabilities that are as computed."""

    def features(self, logits: Tensor) -> Tensor:
        return centred(log_probabilities(logits))


@dataclass(frozen=True, eq=False)
class Linear(Measured):
    """Probabilities as numbers, where noise was added to them; or noised logits."""

    logits_sent: bool = False

    def features(self, logits: Tensor) -> Tensor:
        if self.logits_sent:
            return centred(logits)
        p = log_probabilities(logits).exp()
        return p[:, 1:] if logits.shape[1] == 1 else p


@dataclass(frozen=True, eq=False)
class Margins(Measured):
    """Losses [N, 1], read as the margin ``-log(exp(loss) - 1)`` of the true class."""

    labels: Tensor

    def features(self, logits: Tensor) -> Tensor:
        return margin(-log_probabilities(logits).gather(1, self.labels[:, None]))


@dataclass(frozen=True, eq=False)
class Levels:
    """Rounded probabilities: the log-odds of each class lie between ``low`` and ``high`` [N, C]."""

    low: Tensor
    high: Tensor

    def features(self, logits: Tensor) -> Tensor:
        logp = log_probabilities(logits)
        return logp - torch.log(-torch.expm1(logp.clamp_max(-1e-6)))

    def cost(self, logits: Tensor, noise: Noise) -> Tensor:
        return cauchy(self.residuals(logits, noise))

    def residuals(self, logits: Tensor, noise: Noise) -> Tensor:
        found = self.features(logits)
        return (torch.relu(found - self.high) - torch.relu(self.low - found)) / noise.sigma


@dataclass(frozen=True, eq=False)
class Largest:
    """The k largest probabilities of each row, and that the others share the rest: ``classes`` [N, k]."""

    observed: Tensor
    classes: Tensor

    def features(self, logits: Tensor) -> Tensor:
        logp = log_probabilities(logits)
        told = logp.gather(1, self.classes)
        rest = logp.scatter(1, self.classes, -torch.inf).logsumexp(dim=1, keepdim=True)
        return torch.cat([told, rest], dim=1)

    def cost(self, logits: Tensor, noise: Noise) -> Tensor:
        return cauchy(self.residuals(logits, noise))

    def residuals(self, logits: Tensor, noise: Noise) -> Tensor:
        return (self.features(logits) - self.observed) / noise.sigma


@dataclass(frozen=True, eq=False)
class Hard:
    """Predicted classes [N]. Noise of the logits turns the largest of them into a softmax of about that width."""

    labels: Tensor

    def features(self, logits: Tensor) -> Tensor:
        return centred(log_probabilities(logits))

    def cost(self, logits: Tensor, noise: Noise) -> Tensor:
        p = log_probabilities(logits, 1.5 * noise.sigma).exp()
        likely = p.gather(1, self.labels[:, None])
        return -((1 - noise.surprise) * likely + noise.surprise / p.shape[1]).log().sum()

    def residuals(self, logits: Tensor, noise: Noise) -> Tensor:
        p = log_probabilities(logits, 1.5 * noise.sigma).exp()
        return p - torch.nn.functional.one_hot(self.labels, p.shape[1])


def sent_for(logits: Tensor, labels: Tensor, form: str) -> Predictions:
    """What a client without a defense sends in a form of predictions for its logits [N, C]."""
    if form == "logits":
        return Predictions(logits, "logits")
    if form == "losses":
        return Predictions(cross_entropy(logits, labels, reduction="none")[:, None], "losses")
    if form == "labels":
        return Predictions(predicted_class(logits)[:, None].to(torch.uint8), "labels")
    p = log_probabilities(logits).exp()
    return Predictions(p[:, 1:] if logits.shape[1] == 1 else p, "probabilities")


def margin(losses: Tensor) -> Tensor:
    """Margin of the true class from its cross-entropy: ``-log(expm1(loss))``, for losses above 0."""
    safe = losses.clamp_min(1e-7)
    return -(safe + torch.log(-torch.expm1(-safe)))


def reading(payload: Predictions, labels: Tensor) -> Reading:
    """What a payload [N, columns] says; ``labels`` [N] of the fold serve losses alone.

    How it must be read, the numbers themselves show: a grid of levels, rows whose smaller entries are all alike, zeros,
    sums other than one. Of one bit a row is a class only where each has one: of a row without any, no probability is
    above one half.
    """
    values = payload.values.double()
    if payload.form == "labels":
        return Hard(values[:, 0].long())
    if payload.form == "losses":
        return Margins(margin(values).float(), labels)
    if payload.form == "logits":
        return Soft(centred(log_probabilities(values)).float())
    bits = grid_bits(payload.values.numpy())
    if values.shape[1] == 1:
        return Hard(values[:, 0].round().long()) if bits == 1 else _single(values, bits)
    whole = bool((values.sum(dim=1) - 1).abs().max() < 1e-3)
    if bits == 1 and whole:
        return Hard(values.argmax(dim=1))
    if bits is not None:
        return _levels(values, 2**bits - 1)
    alike = int((values <= values.min(dim=1, keepdim=True).values * (1 + 1e-6)).sum(dim=1).min())
    if alike > 1 and bool((values > 0).all()):
        return _largest(values, values.shape[1] - alike)
    if whole and bool((values > 0).all()):
        return Soft(centred(values.log()).float())
    return Linear(values.float())


def _single(p: Tensor, bits: int | None) -> Reading:
    """P(class 1) of a sigmoid."""
    both = torch.cat([1 - p, p], dim=1)
    if bits is not None:
        return _levels(both, 2**bits - 1)
    if bool(((p < 0) | (p > 1)).any()) or float(((p == 0) | (p == 1)).double().mean()) > 0.1:
        return Linear(p.float())
    return Soft(centred(both.clamp_min(2.0**-24).log()).float())


def _levels(p: Tensor, steps: int) -> Levels:
    """Intervals of probabilities that were brought to the nearest multiple of ``1 / steps``.

    Too narrow where rows were made to sum to one (:mod:`fedprivacy.training.quantisation`), since not every entry went
    to its nearest; intervals wide enough for that tell less than these do (2 bits: nothing at all).
    """
    low, high = (p - 0.5 / steps).clamp_min(0), (p + 0.5 / steps).clamp_max(1)
    return Levels((low.log() - (1 - low).log()).float(), (high.log() - (1 - high).log()).float())


def _largest(p: Tensor, k: int) -> Largest:
    told, classes = p.topk(k, dim=1)
    rest = (1 - told.sum(dim=1, keepdim=True)).clamp_min(TINY)
    return Largest(torch.cat([told, rest], dim=1).clamp_min(TINY).log().float(), classes)
