"""pfl's mechanisms on its statistics, and what its accountants say of them."""

from __future__ import annotations

import logging

import numpy as np
from case import Case
from pfl.privacy.gaussian_mechanism import GaussianMechanism
from pfl.privacy.laplace_mechanism import LaplaceMechanism
from pfl.privacy.privacy_accountant import PLDPrivacyAccountant, PRVPrivacyAccountant
from pfl.stats import MappedVectorStatistics

logging.disable(logging.CRITICAL)
DELTA = 1e-5


def noised(mechanism):
    """Statistics [1], constrained and noised as on the way of pfl's backend."""

    def answer(update: np.ndarray) -> np.ndarray:
        constrained, _ = mechanism.constrain_sensitivity(MappedVectorStatistics({"w": update.copy()}, weight=1))
        found, _ = mechanism.add_noise(constrained, 1)
        return found["w"]

    return answer


def laplace(scale: float, calls: int) -> Case:
    """The PRV accountant on one Laplace release at distance 1."""
    stated = PRVPrivacyAccountant(1, 1.0, "laplace", delta=DELTA, noise_parameter=scale).epsilon
    return Case(
        f"PRVPrivacyAccountant, Laplace of scale {scale:g}",
        noised(LaplaceMechanism(1.0, 1 / scale)),
        np.zeros(1),
        np.full(1, 5.0),
        float(stated),
        DELTA,
        f"epsilon of the accountant at noise_parameter={scale:g}; noise by LaplaceMechanism",
        "user, add-remove",
        calls,
        pure=1 / scale,
        honest=scale == 1,
    )


def scaled(noise_scale: float, calls: int) -> Case:
    """``noise_scale`` of the accountant: less noise is added, epsilon stays."""
    book = PLDPrivacyAccountant(1, 1.0, "gaussian", epsilon=2.0, delta=DELTA, noise_scale=noise_scale)
    mechanism = GaussianMechanism.from_privacy_accountant(clipping_bound=1.0, accountant=book)
    return Case(
        f"GaussianMechanism.from_privacy_accountant, noise_scale {noise_scale:g}",
        noised(mechanism),
        np.zeros(1),
        np.full(1, 5.0),
        float(book.epsilon),
        DELTA,
        f"epsilon=2, noise_scale={noise_scale:g}, PLD accountant",
        "user, add-remove",
        calls,
        1 / mechanism.relative_noise_stddev,
        honest=noise_scale == 1,
    )


def single(epsilon: float) -> Case:
    mechanism = GaussianMechanism.construct_single_iteration(1.0, epsilon, DELTA)
    return Case(
        "GaussianMechanism.construct_single_iteration",
        noised(mechanism),
        np.zeros(1),
        np.full(1, 5.0),
        epsilon,
        DELTA,
        f"epsilon={epsilon:g}, clipping_bound=1",
        "user, add-remove",
        20_000,
        1 / mechanism.relative_noise_stddev,
        honest=True,
    )


def of_laplace() -> Case:
    return Case(
        "LaplaceMechanism",
        noised(LaplaceMechanism(1.0, 1.0)),
        np.zeros(1),
        np.full(1, 5.0),
        1.0,
        0.0,
        "epsilon=1, clipping_bound=1 (L1)",
        "user, add-remove",
        20_000,
        pure=1.0,
        honest=True,
    )


CASES = [laplace(0.1, 20_000), laplace(10.0, 20_000), laplace(1.0, 20_000), scaled(0.1, 20_000), scaled(1.0, 20_000)]
CASES += [single(1.0), single(10.0), of_laplace()]
