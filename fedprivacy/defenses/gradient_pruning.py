"""Updates without their small entries (Zhu et al. 2019, arXiv 1906.08935, Section 5). Nothing is proven.

Zeros are sent like any other number, so the message is not smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedprivacy.config.defenses import Budget, GradientPruningOptions
from fedprivacy.defenses import plan
from fedprivacy.defenses.acts_on import changed
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Update
from fedprivacy.wire.release import Release

NAME = "gradient-pruning"


@dataclass(frozen=True)
class GradientPruning:
    """``share`` of all entries, the smallest in absolute value over all tensors, becomes zero."""

    share: float

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update:
        sizes = torch.cat([t.abs().flatten() for t in update.tensors.values()])
        number = int(self.share * len(sizes))
        if number == 0:
            return update
        limit = sizes.kthvalue(number).values
        return Update({name: torch.where(t.abs() > limit, t, 0.0) for name, t in update.tensors.items()})

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return self.outgoing_update(payload, sender, round) if isinstance(payload, Update) else payload

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, changed)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def build(
    options: GradientPruningOptions, budget: Budget, env: Environment, releases: Sequence[Release]
) -> GradientPruning:
    """The defense."""
    return GradientPruning(options.share)
