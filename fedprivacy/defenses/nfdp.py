"""Training on a random part of the records and sending without noise (FedMD-NFDP, Sun and Lyu, arXiv 2009.05537).

The paper calls this noise-free differential privacy: epsilon ln((n+1)/(n+1-k)) at delta k/n without replacement. That
delta is the chance that a record is drawn, and then it has no protection at all; it lies far above 1/n, at which giving
one record away would pass. So nothing is proven here: epsilon is infinite, and the useless delta is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedprivacy import seeds
from fedprivacy.config.defenses import Budget, NfdpOptions
from fedprivacy.data.records import Ids
from fedprivacy.defenses import plan
from fedprivacy.federation.environment import Environment, round_half_up
from fedprivacy.privacy import PrivacyEvent, SubsampleWithoutNoise
from fedprivacy.wire.payload import Payload
from fedprivacy.wire.release import Release

NAME = "nfdp"


@dataclass(frozen=True)
class Nfdp:
    """Each client draws once, ``k`` records or a share, from each of its folds."""

    share: float
    k: int | None
    replacement: bool

    def prepared(self, env: Environment) -> Environment:
        drawn = tuple(
            tuple(self._drawn(env, fold, client, number) for number, fold in enumerate(folds))
            for client, folds in enumerate(env.members)
        )
        return replace(env, members=drawn)

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return payload

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        smallest = min(len(fold) for folds in env.members for fold in folds)
        if self.k is not None and self.k > smallest:
            plan.refuse(NAME, f"k = {self.k} is more than the smallest private fold has, {smallest}")

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return [
            PrivacyEvent(
                client,
                number + 1,
                "subsample",
                SubsampleWithoutNoise(len(fold), self.number(len(fold)), self.replacement),
                fold=number,
            )
            for client, folds in enumerate(env.members)
            for number, fold in enumerate(folds)
            if len(fold)
        ]

    def number(self, size: int) -> int:
        """Records drawn from a fold of ``size``."""
        return self.k if self.k is not None else max(1, round_half_up(self.share * size))

    def _drawn(self, env: Environment, fold: Ids, client: int, number: int) -> Ids:
        if not len(fold):
            return fold
        draw = seeds.numpy_generator(env.root, "defense", NAME, "client", client, "fold", number)
        return draw.choice(fold, size=self.number(len(fold)), replace=self.replacement)


def build(options: NfdpOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Nfdp:
    """The defense."""
    return Nfdp(options.share, options.k, options.replacement)
