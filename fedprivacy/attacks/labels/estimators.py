"""How many of a client's records are of each class: estimates from its predictions, or from the change of a bias.

A model leans to the classes it was trained on. ``mean_softmax`` and ``argmax_hist`` read that off predictions on
records of all classes; ``log_ratio`` compares with a model of balanced training. From a plain gradient the counts
follow exactly: for the mean cross-entropy, ``dL/db_c = mean p_c - n_c / B`` in the last layer (Wainakh et al. 2021,
arXiv 2110.09074).
"""

from __future__ import annotations

import numpy as np
import scipy

from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.membership.logits import log_softmax

TAU = 0.5
"""Temper of ``log_ratio``."""


def mean_softmax(logp: Float) -> Float:
    """Mean probability [C] over rows of log-probabilities [N, C]."""
    return np.asarray(np.exp(logp).mean(axis=0))


def argmax_hist(logp: Float) -> Float:
    """Share [C] of rows [N, C] in which each class is the most likely."""
    return np.bincount(logp.argmax(axis=1), minlength=logp.shape[1]) / len(logp)


def log_ratio(logp: Float, reference: Float, tau: float = TAU) -> Float:
    """``softmax(tau * mean(logp - reference))`` [C], of a client and of a model of balanced data, both [N, C]."""
    return np.exp(log_softmax(tau * (logp - reference).mean(axis=0)))


def from_bias(gradient: Float, by_class: Float) -> Float:
    """Shares w [C] of the classes in the records behind a mean bias gradient [C] of the last layer.

    ``by_class`` [C, C]: row c is the mean softmax on records of class c. Solves ``(I - P') w = -dL/db`` for w >= 0 of
    sum 1 by least squares.
    """
    classes = len(gradient)
    heavy = 1e3 * max(1.0, float(np.abs(gradient).max()))
    system = np.vstack([np.eye(classes) - by_class.T, np.full((1, classes), heavy)])
    found, _ = scipy.optimize.nnls(system, np.append(-gradient, heavy))
    return np.asarray(found / found.sum()) if found.sum() > 0 else np.full(classes, 1 / classes)


def from_change(changes: Float, prior: Float) -> Float:
    """Shares [K, C] from what local training did to the bias of the last layer, ``changes`` [K, C] (end minus start).

    For cross-entropy a bias moves by ``share - mean p`` a step, times the rate. Clients that start alike have nearly
    the same ``mean p``, so where they take equally many steps their differences are those of their shares, up to one
    factor. It is the largest that leaves no share below zero, so a skew is overstated where nobody lacks a class.
    ``prior`` [C] has no zero.
    """
    apart = changes - changes.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(apart < 0, prior / -apart, np.inf).min()
    found = np.clip(prior + (room if np.isfinite(room) else 0.0) * apart, 0.0, None)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def class_means(logp: Float, labels: Int) -> Float:
    """Mean probability [C, C] on the records of each class; a class without records gets its own corner."""
    p, classes = np.exp(logp), logp.shape[1]
    rows = [p[labels == c].mean(axis=0) if (labels == c).any() else np.eye(classes)[c] for c in range(classes)]
    return np.stack(rows)
