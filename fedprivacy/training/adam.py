"""The two places of Adam's epsilon.

Algorithm 1 of Kingma and Ba (2015), and torch: ``lr * m_hat / (sqrt(v_hat) + eps)``, after bias correction. The
rearranged form at the end of their section 2, and Keras 3: ``lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) +
eps)``, before it. The second is the first with ``eps / sqrt(1 - b2^t)``: in a first step 32 times eps.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

Form = Literal["torch", "keras"]


def corrected(eps: float, form: Form, beta2: float, number: int) -> float:
    """What is added to ``sqrt(v_hat)`` in step ``number`` (from 1), where ``eps`` is meant in ``form``."""
    return eps if form == "torch" else eps / math.sqrt(1 - beta2**number)


def as_keras(optimizer: torch.optim.Adam, eps: float) -> None:
    """Let ``optimizer`` apply ``eps`` as Keras does, in every further step."""

    def place(stepping: torch.optim.Optimizer, *_: Any) -> None:
        done = max((int(state["step"]) for state in stepping.state.values() if "step" in state), default=0)
        for group in stepping.param_groups:
            group["eps"] = corrected(eps, "keras", group["betas"][1], done + 1)

    optimizer.register_step_pre_hook(place)
