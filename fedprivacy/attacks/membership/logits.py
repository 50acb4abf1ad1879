"""Margins and tails of log-probabilities, exact where ``log(1 - p)`` in the plain form would be lost.

``phi = log p_y - log(1 - p_y)`` is the scaled logit of Carlini et al. 2022 ("Membership inference attacks from first
principles"). From probabilities it saturates as soon as p rounds to 1; written as
``z_y - logsumexp(z_c, c != y)`` it keeps every digit that the logits had. All other quantities follow from it:
``log p = -softplus(-phi)`` and ``1 - p = expit(-phi)``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedprivacy.adversary.threat import Float, Int


def logsumexp(z: Float, axis: int = -1) -> Float:
    """``log sum exp`` over one axis, the last by default; where all of it is ``-inf`` it is ``-inf``."""
    top = z.max(axis=axis, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(z - top).sum(axis=axis)) + top.squeeze(axis))


def log_softmax(z: NDArray[np.floating]) -> Float:
    """Log-probabilities of logits, [..., C] -> [..., C], float64, any additive constant a row removed."""
    wide = np.asarray(z, dtype=np.float64)
    # The largest logit goes first: it may be far larger than the differences that carry the information.
    wide = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(wide - logsumexp(wide)[..., None])


def softplus(x: Float) -> Float:
    """``log(1 + e^x)`` without overflow; keeps relative precision for very negative x."""
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def phi(logp: Float, labels: Int) -> Float:
    """Margin ``log p_y - log(1 - p_y)`` in nats, [..., n, C] and [n] -> [..., n]; larger means surer of the label.

    ``logp`` may carry any additive constant a row. NaN rows stay NaN. Raises ValueError for fewer than two classes.
    """
    if logp.shape[-1] < 2:
        raise ValueError("phi needs at least two classes; decode one output column into two first")
    # Classes first: sums over a short last axis cost several times what the exponentials do.
    others = np.array(np.moveaxis(logp, -1, 0), dtype=np.float64, order="C")
    by_record = others.reshape(len(others), math.prod(logp.shape[:-2]), len(labels))
    records = np.arange(len(labels))
    own = by_record[labels, :, records].T.reshape(logp.shape[:-1])
    by_record[labels, :, records] = -np.inf
    top = others.max(axis=0)
    top[np.isneginf(top)] = 0.0
    others -= top
    np.exp(others, out=others)
    with np.errstate(divide="ignore"):
        return np.asarray(own - (np.log(others.sum(axis=0)) + top))


def true_logp(margin: Float) -> Float:
    """``log p_y`` of a margin: ``-softplus(-phi)``, minus the cross-entropy in nats."""
    return -softplus(-margin)


def one_minus_p(margin: Float) -> Float:
    """``1 - p_y`` of a margin, with full relative precision where p rounds to 1."""
    with np.errstate(over="ignore"):  # of what is 0 then
        return np.asarray(1 / (1 + np.exp(margin)))


def log1m(logp: Float) -> Float:
    """``log(1 - p_c)`` of every class from normalised log-probabilities, [..., C] -> [..., C].

    For the most likely class it is ``logsumexp`` of the others; all other classes have p <= 1/2, where
    ``log1p(-p)`` loses nothing.
    """
    best = logp.argmax(axis=-1)[..., None]
    others = logp.copy()
    np.put_along_axis(others, best, -np.inf, axis=-1)
    # Ties at p = 1/2 and rounding above it are harmless: the value is at most half for any class but the best.
    rest = np.log1p(-np.minimum(np.exp(logp), 0.5))
    np.put_along_axis(rest, best, logsumexp(others)[..., None], axis=-1)
    return np.asarray(rest)


def binary_logp(margin: Float) -> Float:
    """Two-class log-probabilities ``[log P(0), log P(1)]`` of a logit of class 1, [...] -> [..., 2], exact."""
    return np.stack([-softplus(margin), -softplus(-margin)], axis=-1)
