"""How much work a simulation is, in floating-point operations, so that what is affordable never depends on a clock.

A replay costs three forward passes a batch (one forward, two back). A step of descent runs twice as many records, keeps
the gradient's graph and goes back through it: about eight, by count of the matrix products.
"""

from __future__ import annotations

from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.federation.course import Private

REPLAY, DESCENT = 3, 8
"""Forward passes that a replay, and a step of descent, cost."""


def forward(client: Client) -> float:
    """Operations of one forward pass of the whole run with a plain client's batches."""
    own = sum(client.steps(event) for event in client.events if isinstance(event, Private))
    public = sum(client.steps(event) for event in client.events if not isinstance(event, Private))
    records = own * client.own_batch + public * client.training.batch_size
    return client.model.operations(client.x[:1]) * records


def work(client: Client, replays: int, steps: int) -> float:
    """Operations of ``replays`` of a client and ``steps`` of descent."""
    private = client.private_batch / client.own_batch
    return max(1.0, forward(client)) * (REPLAY * replays + DESCENT * private * steps)


def steps_within(client: Client, replays: int, most: int, budget: float) -> int:
    """Steps of descent, at most ``most``, that ``budget`` operations allow beside ``replays``; may be negative."""
    once = max(1.0, forward(client))
    private = client.private_batch / client.own_batch
    return min(most, int((budget / once - REPLAY * replays) / (DESCENT * private)))
