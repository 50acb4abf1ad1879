"""Noise inside private training (Abadi et al. 2016, arXiv 1607.00133): the model is private, and so is all it tells.

Sensitivity: a record's clipped gradient, one clip bound, for adding or removing that record; see
:mod:`fedprivacy.training.dp_sgd`. Predictions, weights and later rounds are post-processing. Where a round trains on
a new fold that was cut without looking at the data, a record pays for its own round alone; on the same records, rounds
add up. Rate, steps and divisor rest on the nominal number of records, so the coins are not in the event either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from fedprivacy.config.defenses import Budget, DpSgdOptions
from fedprivacy.defenses import plan, updates
from fedprivacy.defenses.acts_on import RULES, refusal
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import (
    Gaussian,
    Mechanism,
    NoNoise,
    PoissonSampledGaussian,
    PostProcessing,
    PrivacyEvent,
)
from fedprivacy.privacy.calibration import most_leak
from fedprivacy.training.dp_sgd import DpSgd as Training
from fedprivacy.training.learner import normalised
from fedprivacy.training.running_state import INSTEAD, moving
from fedprivacy.wire.payload import Payload
from fedprivacy.wire.release import Release

NAME = "dp-sgd"


@dataclass(frozen=True)
class DpSgd:
    """Trains privately and sends everything as it is."""

    training: Training

    def prepared(self, env: Environment) -> Environment:
        return replace(env, private_fit=self.training)

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return payload

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        check(env, releases)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        found = [
            PrivacyEvent(client, round, "training", mechanism, fold=_fold(env, client, round))
            for client, round in _trainings(env)
            for mechanism in self.mechanisms(env, client, round)
        ]
        return [*found, *plan.events(env, releases, PostProcessing())]

    def mechanisms(self, env: Environment, client: int, round: int) -> list[Mechanism]:
        """What one client's training of one round does to its records."""
        nominal, epochs = env.nominal(client, round), env.settings.training.local_epochs
        multiplier = self.training.noise_multiplier
        if multiplier == 0:
            return [NoNoise()]
        if self.training.sampling == "partition":
            return [Gaussian(multiplier)] * epochs
        return [PoissonSampledGaussian(multiplier, self.training.rate(nominal), epochs * self.training.steps(nominal))]


def check(env: Environment, releases: Sequence[Release]) -> None:
    """Raise UsageError where training cannot be private, or something leaves that it does not cover."""
    why = refusal(RULES[NAME], env.settings.protocol, releases)
    if why is not None:
        plan.refuse(NAME, why)
    updates.check_models(NAME, env)
    for name in dict.fromkeys(map(env.architecture, range(env.clients))):
        blank = normalised(torch.zeros((2, *env.dataset.x_train.shape[1:])))
        moved = moving(env.workbench.module(name), blank)
        if moved:
            plan.refuse(NAME, f"model {name} changes {moved[0]} while it trains, which no noise covers; {INSTEAD}")


def build(options: DpSgdOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> DpSgd:
    """The defense with one noise multiplier for all clients: that of the client and fold that need most."""
    check(env, releases)
    batch = options.batch_size or env.settings.training.batch_size
    shape = Training(1.0, options.max_grad_norm, batch, options.sampling, options.layers, options.engine)
    multiplier = budget.sigma
    if multiplier is None:
        if budget.epsilon is None:
            raise ValueError("a budget needs epsilon or sigma")
        multiplier = max(_calibrated(shape, costs, budget.epsilon, budget.delta) for costs in _costs(shape, env))
    return DpSgd(replace(shape, noise_multiplier=multiplier))


def _trainings(env: Environment) -> list[tuple[int, int]]:
    return [(work.client, work.round) for work in env.work]


def _fold(env: Environment, client: int, round: int) -> int | None:
    """The fold that a round trains on; None where there is but one."""
    return env.fold(client, round) if len(env.members[client]) > 1 else None


Costs = frozenset[tuple[tuple[float, int], int]]
"""((rate, steps of a round), rounds): what one fold of one client goes through, whatever the noise."""


def _costs(shape: Training, env: Environment) -> set[Costs]:
    """The different ones among all folds."""
    folds: dict[tuple[int, int | None], Counter[tuple[float, int]]] = {}
    for client, round in _trainings(env):
        nominal, epochs = env.nominal(client, round), env.settings.training.local_epochs
        steps = epochs if shape.sampling == "partition" else epochs * shape.steps(nominal)
        rate = 1.0 if shape.sampling == "partition" else shape.rate(nominal)
        folds.setdefault((client, _fold(env, client, round)), Counter())[(rate, steps)] += 1
    return {frozenset(counts.items()) for counts in folds.values()}


def _calibrated(shape: Training, costs: Costs, epsilon: float, delta: float) -> float:
    def mechanisms(leak: float) -> list[Mechanism]:
        return [PoissonSampledGaussian(1 / leak, rate, steps * rounds) for (rate, steps), rounds in costs]

    return 1 / most_leak(mechanisms, epsilon, delta)
