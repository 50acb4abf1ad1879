"""flwr's central differential privacy with fixed clipping, as its server strategy aggregates.

The noise of the mean is that of equal weights, noise_multiplier * clip / clients. The strategy below it weighs by
``num-examples`` by default, which a client says of itself: its update then moves the mean by more.
"""

from __future__ import annotations

import logging

import numpy as np
from case import Case
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from flwr.supercore.task_identity import TaskIdentity
from scipy.optimize import brentq
from scipy.stats import norm

logging.disable(logging.CRITICAL)
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
CLIENTS, CLIP, MULTIPLIER, DELTA, CALLS, TINY = 5, 1.0, 2.0, 1e-5, 2_000, 1e-9


def epsilon_of(mu: float) -> float:
    """Exact, of one Gaussian release (Balle and Wang 2018)."""
    gap = lambda e: norm.cdf(mu / 2 - e / mu) - np.exp(e) * norm.cdf(-mu / 2 - e / mu) - DELTA  # noqa: E731
    return float(brentq(gap, 0, 200))


def aggregated(examples: int):
    """The new model [1], where one client has so many examples and the others one each."""

    def mean(update: np.ndarray) -> np.ndarray:
        strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(), MULTIPLIER, CLIP, CLIENTS)
        strategy.current_arrays = ArrayRecord([np.zeros(1)])
        replies = []
        for client in range(CLIENTS):
            asked = Message(RecordDict(), client + 2, "train")
            own = update if client == 0 else np.full(1, TINY)
            number = examples if client == 0 else 1
            content = {"arrays": ArrayRecord([own.copy()]), "metrics": MetricRecord({"num-examples": number})}
            replies.append(Message(RecordDict(content), reply_to=asked))
        arrays, _ = strategy.aggregate_train(1, replies)
        return arrays.to_numpy_ndarrays()[0]

    return mean


def case(examples: int) -> Case:
    share = examples / (examples + CLIENTS - 1)
    mu = share * CLIP / (MULTIPLIER * CLIP / CLIENTS)
    return Case(
        f"server-side fixed clipping, {CLIENTS} clients, one of {examples:,} examples",
        aggregated(examples),
        np.full(1, TINY),
        np.full(1, 5.0),
        epsilon_of(1 / MULTIPLIER),
        DELTA,
        f"noise_multiplier={MULTIPLIER:g}, clipping_norm={CLIP:g}; FedAvg as it comes, no accountant",
        "client, its update or none at a fixed size",
        CALLS,
        mu,
        honest=examples == 1,
    )


CASES = [case(1), case(1000)]
