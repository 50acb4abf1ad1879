"""Only the largest probabilities of each record, both ways. Nothing is proven: epsilon is infinite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedprivacy.config.defenses import Budget, TopKOptions
from fedprivacy.defenses import plan
from fedprivacy.defenses.acts_on import cut_to_the_largest
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.payloads import TopPredictions
from fedprivacy.wire.release import Release

NAME = "top-k"


@dataclass(frozen=True)
class TopK:
    """Class numbers and values of the ``k`` largest; the receiver spreads the rest of one over the other classes."""

    k: int

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions) or payload.form != "probabilities":
            return payload
        columns = payload.values.shape[1]
        values, classes = payload.values.topk(self.k, dim=1)
        number = classes.to(torch.uint8 if columns <= 256 else torch.int32)
        return TopPredictions(number, values, columns)

    def relayed(self, payload: Payload, round: int) -> Payload:
        """What the server sends has the same form; of what it received, the same values are the largest."""
        return self.outgoing(payload, "server", round)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, cut_to_the_largest)
        columns = plan.columns(env)
        if self.k >= columns:
            plan.refuse(NAME, f"k = {self.k} of {columns} outputs leaves nothing out; k must be below that")

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def build(options: TopKOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> TopK:
    """The defense."""
    return TopK(options.k)
