"""NVFLARE's SVTPrivacy at its defaults: which weights are sent by a sparse vector, each with Laplace noise.

``epsilon`` pays for the choice of weights alone. Its own ledger counts what is sent as well, after the fact; that
figure stands here for the closed form.
"""

from __future__ import annotations

import logging

import numpy as np
from case import Case
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.filters.svt_privacy import SVTPrivacy

logging.disable(logging.CRITICAL)
SIZE = 1_000


def filtered(update: np.ndarray) -> np.ndarray:
    """What leaves the client, in clip bounds: its sum alone, for the noise of all weights is alike."""
    found = SVTPrivacy()
    sent = found.process_dxo(DXO(DataKind.WEIGHT_DIFF, data={"w": update.copy()}), Shareable(), FLContext())
    return np.asarray([sent.data["w"].sum() / found.gamma])


def booked(size: int) -> float:
    """Epsilon of its own ledger after one update of ``size`` weights."""
    found = SVTPrivacy()
    update = np.random.default_rng(0).normal(size=size) * 1e-3
    found.process_dxo(DXO(DataKind.WEIGHT_DIFF, data={"w": update}), Shareable(), FLContext())
    return float(found.get_privacy_spent())


CASES = [
    Case(
        f"SVTPrivacy, {SIZE:,} weights",
        filtered,
        np.full(SIZE, -1e-3),
        np.full(SIZE, 1e-3),
        0.1,
        0.0,
        f"epsilon=0.1 (default); its ledger books {booked(SIZE):.1f}, for 1,000,000 weights {booked(1_000_000):,.0f}",
        "client, replace-one",
        10_000,
        pure=booked(SIZE),
    )
]
