"""How much work a simulation is, in floating-point operations, so that what is affordable never depends on a clock.

A replay costs three forward passes a batch (one forward, two back). A step of descent runs twice as many records, keeps
the gradient's graph and goes back through it: about eight, by count of the matrix products.
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy.attacks.membership.unrolled.client import Client

REPLAY, DESCENT = 3, 8
"""Forward passes that a replay, and a step of descent, cost."""


def forward(client: Client) -> float:
    """Operations of one forward pass of the whole run with a plain client's batches."""
    batch = client.x[:1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        client.model.logits(client.model.flatten(client.model.module.state_dict()), batch)
    steps = sum(map(client.steps, client.events))
    return float(counter.get_total_flops()) * steps * client.training.batch_size


def steps_within(client: Client, replays: int, most: int, budget: float) -> int:
    """Steps of descent, at most ``most``, that ``budget`` operations allow beside ``replays``; may be negative."""
    once = max(1.0, forward(client))
    private = client.private_batch / client.training.batch_size
    return min(most, int((budget / once - REPLAY * replays) / (DESCENT * private)))
