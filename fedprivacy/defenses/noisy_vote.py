"""A vote with noise, as in PATE (Papernot et al. 2017, arXiv 1610.05755; 2018, arXiv 1802.08908).

Clients send their predicted labels to a trusted server. It counts the votes for each record of the fold, adds
N(0, s^2) to every count, and passes on the winners. Sensitivity: one client's changed vote moves two counts by one, so
the L2 sensitivity of one record's tally is sqrt(2), and s = z sqrt(2) for noise multiplier z. A changed private record
may change every vote of its client: all records of all folds compose. The claim is against the receivers alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fedprivacy.config.defenses import Budget, NoOptions
from fedprivacy.defenses import matrices, noise, plan
from fedprivacy.defenses.acts_on import voted
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import GaussianHistogramVote, NoNoise, PrivacyEvent
from fedprivacy.privacy.calibration import vote_deviation
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "noisy-vote"


@dataclass(frozen=True)
class NoisyVote:
    """Votes up, winners down. ``deviation`` of the noise on every count; 0 is a plain vote."""

    root: int
    deviation: float
    classes: int
    columns: int
    """Columns of the predictions that receivers expect."""
    rows: int
    """Records of one fold."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions):
            raise TypeError(f"a vote was planned for predictions, not for {payload.kind}")
        return matrices.as_labels(matrices.predicted(payload))

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload:
        counts = self.counts([p for p in received.values() if isinstance(p, Predictions)])
        tally = Predictions(counts, "logits")
        source = noise.stream(self.root, NAME, tally, SERVER, channel.round)
        winners = (counts + noise.gaussian(counts.shape, self.deviation, source)).argmax(dim=1)
        if self.columns == 1:
            return Predictions(winners[:, None].float(), "probabilities")
        return Predictions(functional.one_hot(winners, self.classes).float(), "probabilities")

    def counts(self, votes: Sequence[Predictions]) -> Tensor:
        """Votes [N, classes] for each record of the fold."""
        return torch.stack([functional.one_hot(matrices.predicted(v), self.classes) for v in votes]).sum(dim=0).double()

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, voted)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism = GaussianHistogramVote(self.deviation, self.rows) if self.deviation else NoNoise()
        return plan.events(env, releases, mechanism, against="receivers")


def build(options: NoOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> NoisyVote:
    """The defense with noise for the whole run."""
    plan.check_every(NAME, env, releases, voted)
    rows = plan.public_rows(env)
    if budget.sigma is not None:
        deviation = budget.sigma * math.sqrt(2)
    elif budget.epsilon is not None:
        deviation = vote_deviation(budget.epsilon, budget.delta, rows * plan.most_sends(env, releases))
    else:
        raise ValueError("a budget needs epsilon or sigma")
    return NoisyVote(env.root, deviation, len(env.dataset.classes), plan.columns(env), rows)
