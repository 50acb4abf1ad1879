"""Cross-entropy, and the divergences between predictions, with a stated order of their arguments.

``KL(a || b) = sum_c a_c log(a_c / b_c)`` in nats, mean over the batch; torch writes it ``kl_div(log_b, log_a)``.
A model with one sigmoid output is the two-class problem with logits (0, z): the categorical KL of that pair is the
Bernoulli KL. All functions take log-probabilities, so that no probability is ever rounded to 0 first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CLIP = 1e-7
"""Keras' epsilon: probabilities are kept in [1e-7, 1 - 1e-7] where a logarithm of a received one is taken."""


def cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of logits [B, C], or of one sigmoid logit [B, 1], against class ids [B]; nats."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction=reduction)
    return functional.cross_entropy(logits, labels, reduction=reduction)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-softmax [B, C] of logits over ``temperature``; one sigmoid column becomes its two classes."""
    scaled = logits / temperature
    if logits.shape[1] == 1:
        return torch.cat([functional.logsigmoid(-scaled), functional.logsigmoid(scaled)], dim=1)
    return functional.log_softmax(scaled, dim=1)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis, which may be short: torch's own is slow where it is."""
    powers = (logits - logits.amax(-1, keepdim=True)).exp_()
    return powers.div_(powers.sum(-1, keepdim=True))


def predicted_class(logits: Tensor) -> Tensor:
    """Most likely class [B]; a sigmoid says class 1 above one half."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def kl_divergence(log_a: Tensor, log_b: Tensor) -> Tensor:
    """``KL(a || b)``, mean over the rows of two log-probability matrices [B, C]; nats, never negative."""
    return functional.kl_div(log_b, log_a, reduction="batchmean", log_target=True)


def on_common_classes(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two logit matrices [B, C] on the classes that both have an output for; the same tensors where these are all."""
    if a.shape[1] == 1 or not len(a):
        return a, b
    both = torch.isfinite(a[0]) & torch.isfinite(b[0]) | torch.isnan(a[0]) | torch.isnan(b[0])
    return (a, b) if bool(both.all()) else (a[:, both], b[:, both])


def literal_kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """``mean a log(a / b)`` of P(class 1) alone, both clipped to [1e-7, 1]: what Gupta's published code computes.

    Not a divergence: negative for a < b, minimal at a = b/e with value -b/e, slope +1 at a = b. Arguments are
    log-probabilities [B, 2].
    """
    a = log_a[:, 1].exp().clamp(CLIP, 1.0)
    b = log_b[:, 1].exp().clamp(CLIP, 1.0)
    return (a * (a / b).log()).mean()
