"""flwr's local differential privacy, LocalDpMod, on whole messages and by the functions that it calls.

Its noise follows the classical rule, which is a theorem below epsilon 1 alone, and its ``sensitivity`` is whatever the
user says: it is never held against the clip. An update or none is as far apart as the clip, two updates twice that.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from case import Case
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp.mod.localdp_mod import LocalDpMod
from flwr.supercore.differential_privacy import add_gaussian_noise_inplace, compute_clip_model_update
from flwr.supercore.task_identity import TaskIdentity

logging.disable(logging.CRITICAL)
# A message has to come from somebody.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
DELTA, CLIP, TINY = 1e-5, 1.0, 1e-9
"""No update at all is tiny here: the clip divides by its norm."""


def of_messages(epsilon: float):
    """The update [1] of a client that trained, as it leaves the client."""
    mod = LocalDpMod(CLIP, CLIP, epsilon, DELTA)

    def sent(update: np.ndarray) -> np.ndarray:
        received = Message(RecordDict({"arrays": ArrayRecord([np.zeros(1)])}), 0, "train")

        def trained(message, _context):
            return Message(RecordDict({"arrays": ArrayRecord([update.copy()])}), reply_to=message)

        answer = mod(received, None, trained)
        return next(iter(answer.content.array_records.values())).to_numpy_ndarrays()[0]

    return sent


def deviation(epsilon: float, sensitivity: float) -> float:
    """As the mod computes it."""
    return sensitivity * math.sqrt(2 * math.log(1.25 / DELTA)) / epsilon


def of_functions(epsilon: float, sensitivity: float):
    """The same without the message around it."""

    def sent(update: np.ndarray) -> np.ndarray:
        arrays = [update.copy()]
        compute_clip_model_update(arrays, [np.zeros(1)], CLIP)
        add_gaussian_noise_inplace(arrays, deviation(epsilon, sensitivity))
        return arrays[0]

    return sent


def case(epsilon: float, replace: bool, calls: int, sensitivity: float = CLIP, messages: bool = False) -> Case:
    mu = (2 if replace else 1) * CLIP / deviation(epsilon, sensitivity)
    words = "two clipped updates" if replace else "an update or none"
    words += ", whole messages" if messages else ""
    return Case(
        f"LocalDpMod, {words}",
        of_messages(epsilon) if messages else of_functions(epsilon, sensitivity),
        np.full(1, -5.0) if replace else np.full(1, TINY),
        np.full(1, 5.0),
        epsilon,
        DELTA,
        f"epsilon={epsilon:g}, clipping_norm={CLIP:g}, sensitivity={sensitivity:g}",
        "client, replace-one" if replace else "client, add-remove",
        calls,
        mu,
        honest=not replace and epsilon <= 5 and sensitivity == CLIP,
    )


CASES = [
    case(1.0, False, 1_000, messages=True),
    case(1.0, False, 20_000),
    case(5.0, False, 20_000),
    case(10.0, False, 20_000),
    case(20.0, False, 20_000),
    case(50.0, False, 20_000),
    case(1.0, True, 300_000),
    case(5.0, True, 250_000),
    case(10.0, True, 500_000),
    case(20.0, True, 20_000),
    case(50.0, True, 20_000),
    case(1.0, False, 20_000, sensitivity=0.01),
]
