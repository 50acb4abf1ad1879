"""FedML's frames of differential privacy, called where its client trainer and server aggregator call them.

The package's own start imports some sixty others, so its core.dp is loaded without it.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import sys
import types
from collections import OrderedDict
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from case import Case

ROOT = importlib.util.find_spec("fedml").submodule_search_locations[0]
for name, place in (("fedml", Path(ROOT)), ("fedml.core", Path(ROOT) / "core")):
    bare = types.ModuleType(name)
    bare.__path__ = [str(place)]
    sys.modules[name] = bare

from fedml.core.dp.fedml_differential_privacy import FedMLDifferentialPrivacy  # noqa: E402

logging.disable(logging.CRITICAL)
DELTA = 1e-5
SHARED = {
    "enable_dp": True,
    "delta": DELTA,
    "sensitivity": 1.0,
    "mechanism_type": "gaussian",
    "C": 1.0,
    "comm_round": 10,
    "client_num_per_round": 10,
    "client_num_in_total": 100,
    "clipping_norm": 1.0,
    "noise_multiplier": 1.0,
    "train_data_num_in_total": 1000,
}


def frame(kind: str, **more) -> FedMLDifferentialPrivacy:
    dp = FedMLDifferentialPrivacy()
    with redirect_stdout(io.StringIO()):
        dp.init(SimpleNamespace(**{**SHARED, "dp_solution_type": kind, **more}))
    return dp


def of_client(dp: FedMLDifferentialPrivacy):
    """A model [d] after local training: the condition is that of ClientTrainer.on_after_local_training."""

    def sent(model: np.ndarray) -> np.ndarray:
        state = OrderedDict(w=torch.as_tensor(model.copy()))
        if dp.is_local_dp_enabled():
            state = dp.add_local_noise(state)
        return state["w"].numpy()

    return sent


def of_server(dp: FedMLDifferentialPrivacy):
    """The mean [d] after aggregation: the condition is that of ServerAggregator.on_after_aggregation."""

    def released(model: np.ndarray) -> np.ndarray:
        state = OrderedDict(w=torch.as_tensor(model.copy()))
        if dp.is_global_dp_enabled():
            state = dp.add_global_noise(state)
        return state["w"].numpy()

    return released


def of_both(dp: FedMLDifferentialPrivacy):
    client, server = of_client(dp), of_server(dp)
    return lambda model: server(client(model))


def of_tensors(_: np.ndarray | None = None):
    """The frame dp_clip's noise on a model of three tensors, were it called: the scale is divided at every tensor."""

    def noised(model: np.ndarray) -> np.ndarray:
        dp = frame("dp_clip", epsilon=1.0)
        state = OrderedDict((str(k), torch.as_tensor(model[k : k + 1].copy())) for k in range(len(model)))
        found = dp.dp_solution.add_noise(state, qw=100.0)
        return torch.cat(list(found.values())).numpy()

    return noised


def case(name: str, mechanism, stated: float, means: str, size: int = 1, **more) -> Case:
    return Case(
        name, mechanism, np.zeros(size), np.ones(size), stated, **{"delta": DELTA, "calls": 10_000, **more}, means=means
    )


LDP = "an entry of the model moves by the stated sensitivity; the frame itself clips nothing"
CASES = [
    case(
        "frame nbafl, enabled",
        of_both(frame("nbafl", epsilon=0.9)),
        0.9,
        "client, replace-one",
        what="epsilon=0.9, C=1",
    ),
    case(
        "frame dp_clip, enabled",
        of_both(frame("dp_clip", epsilon=0.9)),
        0.9,
        "client, add-remove",
        what="epsilon=0.9, clipping_norm=1, noise_multiplier=1",
    ),
    Case(
        "frame dp_clip, its noise called by hand on three tensors",
        of_tensors(),
        np.zeros(3),
        np.full(3, 0.01 / 3**0.5),
        4.38,
        DELTA,
        "noise_multiplier=1, clipping_norm=1 over 100 records: multiplier 1 is epsilon 4.38",
        "client, add-remove of the mean update",
        4_000,
        mu=(1 / 3 * (1 + 100**2 + 100**4)) ** 0.5,
    ),
    case(
        "frame ldp, Gaussian",
        of_client(frame("ldp", epsilon=0.9)),
        0.9,
        LDP,
        what="epsilon=0.9, sensitivity=1",
        mu=0.9 / (2 * np.log(1.25 / DELTA)) ** 0.5,
        honest=True,
    ),
    case(
        "frame ldp, Laplace",
        of_client(frame("ldp", epsilon=0.9, mechanism_type="laplace")),
        0.9,
        LDP,
        what="epsilon=0.9, sensitivity=1",
        pure=0.9 + 1e-5,
        honest=True,
    ),
    case(
        "frame cdp, Gaussian",
        of_server(frame("cdp", epsilon=0.9)),
        0.9,
        LDP,
        what="epsilon=0.9, sensitivity=1",
        mu=0.9 / (2 * np.log(1.25 / DELTA)) ** 0.5,
        honest=True,
    ),
]
