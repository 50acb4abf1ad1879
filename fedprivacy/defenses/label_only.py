"""Only the predicted class of each record. Nothing is proven: epsilon is infinite.

Hard labels tell of membership by whether they are right (Choquette-Choo et al. 2021, arXiv 2007.14321).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedprivacy.config.defenses import Budget, NoOptions
from fedprivacy.defenses import matrices, plan
from fedprivacy.defenses.acts_on import labelled
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "label-only"


@dataclass(frozen=True)
class LabelOnly:
    """Probabilities or logits in, labels out."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions) or payload.form == "losses":
            return payload
        return matrices.as_labels(matrices.predicted(payload))

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, labelled)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def build(options: NoOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> LabelOnly:
    """The defense."""
    return LabelOnly()
