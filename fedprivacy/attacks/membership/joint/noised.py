"""Noised updates: what a claim of private training has to withstand, the best linear reading of a whole transcript.

Under DP-SGD (Abadi et al. 2016, arXiv 1607.00133) a client's round is known but for its coins and its noise: with T
steps, sampling rate q, clip bound C and noise multiplier z, every entry of its change of weights is, with what
:mod:`.response` tells of the optimiser,

    start - end = gain / (T z C) sum_i n_i clip_C(g_i) + N(0, variance),   n_i ~ Binomial(T, q) if i is in, else 0.

Of plain gradient steps ``gain`` is ``T d`` and ``variance`` is ``T d^2`` with ``d = lr z C / B`` and B the expected
batch size. Noise is the same in all entries and independent, so among linear readings generalised least squares on all
records at once loses nothing: with ``s = gain q / (z C)`` rounds add up to ``G = sum s^2 <g_i, g_j> / variance`` and
``b = sum s <change, g_i> / variance``, a coin has prior mean 1/2 and variance 1/4, and the log-odds of i are those of a
normal posterior with all other records explained away (Bishop 2006, Section 3.3). Where an optimiser keeps its moments
from round to round, rounds share noise and signal: each is taken less what the few before it tell of its noise. One
plain step a round makes it exact but for the draw of the batches; over several, gradients are taken half way from start
to end. What it assumes beyond that: the settings of the defense, which its claim names anyway. Where Adam would divide
by what the records add, since the noise is off or small, changes are decoded jointly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.joint.along import of_records
from fedprivacy.attacks.membership.joint.changes import Change, changes
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.response import Response, Round, memory, response
from fedprivacy.attacks.membership.joint.simulate import Columns, columns_of
from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.unrolled.optimisers import optimiser_of
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment, Part
from fedprivacy.federation.interfaces import prepared
from fedprivacy.federation.knowledge import Knowledge, Observed, Rules
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Records

WINDOW = 4
"""Rounds that are taken together where an optimiser keeps its moments: the noise of a round is held against that of
those just before it."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One round: its ``number`` among the client's trainings, what ``moved``, and ``gradients`` of all columns, each to
    count ``scale`` times [n]."""

    number: int
    moved: Part
    gradients: Gradients
    scale: Tensor

    def gram(self, other: Seen) -> Tensor:
        """Inner products [n, n] of what both rounds share."""
        names = frozenset(self.moved) & frozenset(other.moved)
        if not names:
            return torch.zeros(len(self.scale), len(self.scale), dtype=torch.float64)
        products = self.gradients.only(names).gram(other.gradients.only(names)).double()
        return products * self.scale[:, None] * other.scale[None, :]


@dataclass(eq=False)
class Normal:
    """Normal equations of one client over its columns, rounds added up."""

    columns: Columns
    gram: Tensor
    sides: Tensor
    seen: list[Seen] = field(default_factory=list)
    """Rounds with which those to come share noise, the last one last."""
    changes: int = 0
    """How many were added."""

    def add(self, last: Seen, response: Response, first: int) -> None:
        """Add a round: its change less what those before it tell of its noise, in units of what is left of that.

        ``response``: of trainings from number ``first`` on.
        """
        self.seen = [*(one for one in self.seen[1 - WINDOW :] if one.number >= first), last]
        numbers = torch.tensor([one.number - first for one in self.seen])
        root = torch.linalg.cholesky(response.covariance[numbers][:, numbers])
        unit = torch.zeros(len(numbers), 1, dtype=torch.float64)
        unit[-1] = 1
        of_change = torch.linalg.solve_triangular(root.T, unit, upper=True)[:, 0]
        by_round = (of_change @ response.gain[numbers][:, numbers]).tolist()
        whitened: dict[str, Tensor] = {}
        for weight, one in zip(of_change.tolist(), self.seen, strict=True):
            for name, t in one.moved.items():
                whitened[name] = whitened[name] + weight * t if name in whitened else weight * t
        for place, (weight, one) in enumerate(zip(by_round, self.seen, strict=True)):
            self.sides += weight * one.scale * one.gradients.inner(whitened).double()
            self.gram += weight**2 * one.gram(one)
            for again, other in zip(by_round[:place], self.seen, strict=False):
                products = weight * again * one.gram(other)
                self.gram += products + products.T

    def log_odds(self) -> Float:
        """Of every column [n], given what was added so far."""
        prior = torch.from_numpy(self.columns.prior)
        spread = (prior * (1 - prior)).clamp_min(1e-6)
        inverse = torch.linalg.inv(self.gram + torch.diag(1 / spread))
        mean = inverse @ (self.sides - self.gram @ prior)
        variance = inverse.diagonal()
        return np.asarray((mean / variance).numpy(), dtype=np.float64)


@dataclass(frozen=True)
class NoisedUpdates:
    """Sources are the clients; all rounds are one score."""

    name: ClassVar[str] = "noised updates"
    alone: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """Log-odds [clients, 1, n], NaN for candidates of others; those of :class:`JointUpdates` where noise is
        too small for Adam. ValueError where training is not DP-SGD.
        """
        rules = knowledge.rules
        if rules is None or not isinstance(rules.protocol, TrainsLocally):
            raise ValueError("nobody said how the protocol trains one client by itself")
        env, fit = _trained_by(knowledge, rules)
        if knowledge.settings.training.optimizer == "adam" and not drowned(fit, knowledge, env):
            return JointUpdates().observe(view, knowledge)
        clients = range(env.clients)
        parts = rules.initial.parts if rules.initial is not None else {}
        start = {client: parts.get(rules.protocol.held(client), {}) for client in clients}
        found: dict[int, Normal] = {}
        mixing = rules.protocol if isinstance(rules.protocol, MixesModels) else None
        for change in changes(view, start, knowledge.settings, mixing):
            if len(change.clients) == 1:
                _add(found, change, knowledge, rules, env, fit)
        scores = np.full((env.clients, 1, len(knowledge.candidates)), np.nan)
        for client, normal in found.items():
            judged = normal.columns.judged
            scores[client, 0, normal.columns.places[judged]] = normal.log_odds()[judged]
        return Observed.decoded(scores, (_assumed(knowledge),))


def _assumed(knowledge: Knowledge) -> str:
    share = "all candidates" if knowledge.known is None else f"{knowledge.attack.known_share:.0%} of the candidates"
    owner = " and owner" if knowledge.attack.owners == "known" else ", not their owner"
    return f"known: {share} with labels{owner}, the start of each round, the optimiser, clip bound and noise"


def private_fit(knowledge: Knowledge, rules: Rules) -> tuple[Environment, DpSgd | None]:
    """An environment of the adversary's own under the defense, and the settings of its private training, if any."""
    members: tuple[tuple[Ids, ...], ...] = rules.division.candidates
    root = seeds.value(knowledge.root, "noised updates")
    env = Environment(knowledge.settings, root, knowledge.dataset, rules.division, members, knowledge.workbench)
    fit = prepared(env, rules.defense(env)).private_fit
    return env, fit if isinstance(fit, DpSgd) else None


def _trained_by(knowledge: Knowledge, rules: Rules) -> tuple[Environment, DpSgd]:
    """The same of plain DP-SGD. ValueError where it is another."""
    env, fit = private_fit(knowledge, rules)
    training = knowledge.settings.training
    if fit is None or training.weight_decay or training.augmentation:
        raise ValueError("this reading is of DP-SGD on plain records without weight decay")
    if fit.noise_multiplier == 0:
        fit = replace(fit, noise_multiplier=1e-3)  # the control with the noise off is read in the same way
    return env, fit


@dataclass(frozen=True)
class Steps:
    """A client's ``round`` of steps, and how many of them a member is in on average (``times``)."""

    round: Round
    times: float


def steps_of(knowledge: Knowledge, env: Environment, fit: DpSgd, client: int, round: int) -> Steps:
    """Of ``client`` in ``round``."""
    nominal, training = env.nominal(client, round), knowledge.settings.training
    steps = training.local_epochs * fit.steps(nominal)
    times = float(training.local_epochs) if fit.sampling == "partition" else steps * fit.rate(nominal)
    return Steps(Round(steps, fit.noise_multiplier * fit.max_grad_norm / fit.divisor(nominal)), times)


def _add(
    found: dict[int, Normal], change: Change, knowledge: Knowledge, rules: Rules, env: Environment, fit: DpSgd
) -> None:
    (client,) = change.clients
    taken = steps_of(knowledge, env, fit, client, change.round)
    if client not in found:
        columns = columns_of(knowledge, rules, client, knowledge.attack.owners == "known")
        n = len(columns.ids)
        zeros = torch.zeros(n, n, dtype=torch.float64)
        found[client] = Normal(columns, zeros, torch.zeros(n, dtype=torch.float64))
    normal = found[client]
    module = knowledge.workbench.module(knowledge.wire.travelling(client), "joint")
    place = {name: t if taken.round.steps == 1 else (t + change.end[name]) / 2 for name, t in change.start.items()}
    module.load_state_dict({**module.state_dict(), **place})
    ids, data = normal.columns.ids, knowledge.dataset
    names = frozenset(name for name in change.start if fit.layers == "all" or name.startswith("head."))
    gradients = of_records(module, Records(data.x_train[ids], data.y_train[ids])).only(names)
    moved = {name: change.start[name] - change.end[name] for name in names}
    here = torch.from_numpy(normal.columns.fold == min(change.round, len(rules.division.candidates[client])) - 1)
    each = taken.times / (taken.round.steps * fit.noise_multiplier * fit.max_grad_norm)
    scale = each * clipping(gradients, fit.max_grad_norm) * here
    normal.changes += 1
    # Whoever always takes part has trained in every round, seen or not; of others, only what is seen tells.
    number = change.round if knowledge.settings.participation == 1 else normal.changes
    optimiser, last = optimiser_of(knowledge.settings.training), Seen(number, moved, gradients, scale)
    if knowledge.settings.training.optimizer_state != "persistent":
        normal.seen = []
        normal.add(last, response(optimiser, (taken.round,)), number)
        return
    span = WINDOW + ceil(memory(optimiser) / taken.round.steps)  # what was before is forgotten
    first = max(1, number - span + 1)
    every = (steps_of(knowledge, env, fit, client, round).round for round in range(first, first + span))
    normal.add(last, response(optimiser, tuple(every)), first)


def drowned(fit: DpSgd, knowledge: Knowledge, env: Environment) -> bool:
    """Whether the noise of a step is longer than a whole batch of gradients may be, all of one direction."""
    module = knowledge.workbench.module(knowledge.wire.travelling(0), "joint")
    entries = sum(p.numel() for name, p in module.named_parameters() if fit.layers == "all" or name.startswith("head."))
    length: float = fit.noise_multiplier * entries**0.5
    largest = max(env.nominal(client, round) for client in range(env.clients) for round in range(1, env.rounds + 1))
    return length >= min(fit.batch_size, largest)


def clipping(gradients: Gradients, bound: float) -> Tensor:
    """What each gradient [n] is multiplied by to have no more than norm ``bound``; float64."""
    return (bound / gradients.gram().double().diagonal().clamp_min(1e-30).sqrt()).clamp(max=1.0)
