"""Model inversion among pictures that public records allow: coefficients that a model takes most surely for a class.

Zhang, Jia, Pei, Wang, Li, Song, "The Secret Revealer: Generative Model-Inversion Attacks Against Deep Neural Networks"
(2020), with the linear decoder of :mod:`~fedprivacy.attacks.inversion.prior` in the place of a generator. The search
begins at the public mean of the class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.cosine import Adam
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.prior import LinearPrior

LR, WEIGHT = 0.05, 0.01
"""Adam's rate, and the weight of the mean square of the coefficients."""


def class_pictures(
    model: nn.Module,
    knowledge: Knowledge,
    decoder: LinearPrior,
    means: Tensor,
    iterations: int,
    clock: Clock = UNLIMITED,
) -> Tensor:
    """Pictures [classes, C, H, W] in [0, 1] by ``model`` as it stands, from the public ``means`` of that shape on.

    Of all coefficients on the way those of lowest objective ``-log p_c(picture) + weight mean(u^2)``. No step after the
    first is begun once ``clock`` is over.
    """
    like = next(model.parameters()).detach()
    u = decoder.coefficients(means)
    wanted = torch.arange(len(u))
    best, best_u, adam = u.new_full((len(u),), torch.inf), u.clone(), Adam(u)
    training = model.training
    model.eval()
    for step in range(iterations):
        if step and clock.over:
            break
        point = u.clone().requires_grad_()
        surprise = _surprise(model, knowledge.to_input(decoder.pictures(point).clamp(0, 1)).to(like), wanted)
        objective = surprise.to(u) + WEIGHT * point.square().mean(1)
        (slope,) = torch.autograd.grad(objective.sum(), point)
        better = objective.detach() < best
        best[better], best_u[better] = objective.detach()[better], u[better]
        u = u - LR * adam.of(slope.nan_to_num())
    model.train(training)
    return decoder.pictures(best_u).clamp(0, 1)


def _surprise(model: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
    """``-log p`` [N] of the classes ``wanted`` [N]."""
    logits = model(x)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    found: Tensor = -torch.log_softmax(logits, 1).gather(1, wanted[:, None].to(x.device)).squeeze(1)
    return found
