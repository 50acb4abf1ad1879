"""How well the models of a run do on test records: over its clients, or over its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedprivacy.judge.result import Interval
from fedprivacy.metrics.intervals import Interval as Estimate
from fedprivacy.metrics.intervals import mean_interval, paired_interval

SERVERS = ("accuracy", "own_accuracy")
"""What is told of a server's model beside the clients'."""

Utilities = Sequence[Mapping[str, Mapping[str, float]]]


def utility_of(utilities: Utilities, level: float) -> dict[str, Interval]:
    """Every metric of the tested models, by name; ``test_accuracy`` first. None where no model is known."""
    if not all(utilities):
        return {}
    models = [model for utility in utilities for model in utility.values()]
    names = [name for name in models[0] if all(name in model for model in models)]
    found = {_titled(name): _interval(utilities, name, level) for name in names}
    if "server" in utilities[0] and "server" not in _counted(utilities[0]):
        alone = [{"server": utility["server"]} for utility in utilities]
        told = [name for name in SERVERS if all(name in utility["server"] for utility in utilities)]
        found |= {f"server_test_{name}": _interval(alone, name, level) for name in told}
    return found


def _titled(name: str) -> str:
    return name if name.startswith("train_") else f"test_{name}"


def _interval(utilities: Utilities, metric: str, level: float) -> Interval:
    """Mean over the clients' models (one seed) or over seeds; a single number has no interval but itself.

    A server's model beside the clients' is shown with them and counted in nothing.
    """
    counted = _counted(utilities[0])
    means = [float(np.mean([utility[name][metric] for name in counted])) for utility in utilities]
    per_client = {name: float(np.mean([u[name][metric] for u in utilities])) for name in counted}
    values, over = (means, "seeds") if len(means) > 1 else (list(per_client.values()), "clients")
    per_seed = tuple(means) if len(means) > 1 else ()
    if len(values) == 1:
        return Interval(values[0], values[0], values[0], per_client, 1, "one model")
    estimate = mean_interval(values, level, (0.0, math.inf) if metric == "loss" else (0.0, 1.0))
    return Interval(estimate.value, estimate.low, estimate.high, per_client, len(values), over, per_seed)


def _counted(utility: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The models that utility is a mean of: the clients' where they have their own, else the one model."""
    return [name for name in utility if name.startswith("client-")] or list(utility)


def paired(utilities: Utilities, others: Utilities, level: float) -> Estimate | None:
    """The accuracy that counts minus a baseline's: seed by seed, of one seed client by client; None without pairs.

    Where clients hold different classes each client's own accuracy counts.
    """
    models = [model for utility in (*utilities, *others) for model in utility.values()]
    metric = "own_accuracy" if all("own_accuracy" in model for model in models) else "accuracy"
    own = [[u[name][metric] for name in _counted(u)] for u in utilities]
    theirs = [[u[name][metric] for name in _counted(u)] for u in others]
    if len(own) > 1:
        return paired_interval([np.mean(a) for a in own], [np.mean(b) for b in theirs], level)
    if len(own[0]) < 2 or len(own[0]) != len(theirs[0]):
        return None
    return paired_interval(own[0], theirs[0], level)
