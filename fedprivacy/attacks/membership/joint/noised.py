"""Noised updates: what a claim of private training has to withstand, the best linear reading of a whole transcript.

Under DP-SGD (Abadi et al. 2016, arXiv 1607.00133) a client's round is known but for its coins and its noise: with T
steps, sampling rate q, clip bound C and noise multiplier z, every entry of its change of weights is, with what
:mod:`.response` tells of the optimiser,

    start - end = gain / (T z C) sum_i n_i clip_C(g_i) + N(0, variance),   n_i ~ Binomial(T, q) if i is in, else 0.

Of plain gradient steps ``gain`` is ``T d`` and ``variance`` is ``T d^2`` with ``d = lr z C / B`` and B the expected
batch size. The noise is white, so among linear readings generalised least squares on all records at once loses nothing:
with ``s = gain q / (z C)`` rounds add up to ``G = sum s^2 <g_i, g_j> / variance`` and ``b = sum s <change, g_i> /
variance``, a coin has prior mean 1/2 and variance 1/4, and the log-odds of i are those of a normal posterior with all
other records explained away (Bishop 2006, Section 3.3). One plain step a round makes it exact; over several, gradients
are taken half way from start to end. Where an optimiser keeps its moments from round to round, the noise of one round
goes on into the next: each round's variance counts it, but rounds add up as if each had noise of its own, so log-odds
are two or three times too large. What it assumes beyond that: the settings of the defense, which its claim names
anyway. Where Adam would divide by what the records add, since the noise is off or small, changes are decoded jointly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.joint.along import of_records
from fedprivacy.attacks.membership.joint.changes import Change, changes
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.response import Response, response
from fedprivacy.attacks.membership.joint.simulate import Columns, columns_of
from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.unrolled.optimisers import optimiser_of
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import prepared
from fedprivacy.federation.knowledge import Knowledge, Observed, Rules
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Records


@dataclass(eq=False)
class Normal:
    """Normal equations of one client over its columns, rounds added up."""

    columns: Columns
    gram: Tensor
    sides: Tensor
    changes: int = 0
    """How many were added."""

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
        """Log-odds [clients, 1, n], NaN for candidates of others. ValueError where training is not DP-SGD."""
        rules = knowledge.rules
        if rules is None or not isinstance(rules.protocol, TrainsLocally):
            raise ValueError("nobody said how the protocol trains one client by itself")
        env, fit = _trained_by(knowledge, rules)
        if knowledge.settings.training.optimizer == "adam" and not drowned(fit, knowledge):
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
    """A client's steps of one round: their number, how many of them a member is in on average (``times``), and what the
    optimiser makes of their noise."""

    steps: int
    times: float
    response: Response


def steps_of(knowledge: Knowledge, env: Environment, fit: DpSgd, client: int, round: int, trained: int) -> Steps:
    """Of ``client`` in ``round``, the one number ``trained`` that it trains in."""
    nominal, training = env.nominal(client, round), knowledge.settings.training
    steps = training.local_epochs * fit.steps(nominal)
    by_deal = fit.sampling == "partition"
    batch = nominal / fit.steps(nominal) if by_deal else nominal * fit.rate(nominal)
    times = float(training.local_epochs) if by_deal else steps * fit.rate(nominal)
    deviation = fit.noise_multiplier * fit.max_grad_norm / batch
    number = trained if training.optimizer_state == "persistent" else 1
    apart = len(env.members[client]) > 1  # what moments hold of earlier rounds is of other records
    return Steps(steps, times, response(optimiser_of(training), deviation, steps, number, apart))


def _add(
    found: dict[int, Normal], change: Change, knowledge: Knowledge, rules: Rules, env: Environment, fit: DpSgd
) -> None:
    (client,) = change.clients
    if client not in found:
        columns = columns_of(knowledge, rules, client, knowledge.attack.owners == "known")
        n = len(columns.ids)
        zeros = torch.zeros(n, n, dtype=torch.float64)
        found[client] = Normal(columns, zeros, torch.zeros(n, dtype=torch.float64))
    normal = found[client]
    normal.changes += 1
    # Whoever always takes part has trained in every round, seen or not; of others, only what is seen tells.
    trained = change.round if knowledge.settings.participation == 1 else normal.changes
    taken = steps_of(knowledge, env, fit, client, change.round, trained)
    module = knowledge.workbench.module(knowledge.wire.travelling(client), "joint")
    place = {name: t if taken.steps == 1 else (t + change.end[name]) / 2 for name, t in change.start.items()}
    module.load_state_dict({**module.state_dict(), **place})
    ids, data = normal.columns.ids, knowledge.dataset
    gradients = of_records(module, Records(data.x_train[ids], data.y_train[ids]))
    names = frozenset(name for name in change.start if fit.layers == "all" or name.startswith("head."))
    gram, clip = clipped(gradients.only(names), fit.max_grad_norm)
    moved = {name: change.start[name] - change.end[name] for name in names}
    inner = gradients.only(names).inner(moved).double() * clip
    here = torch.from_numpy(normal.columns.fold == min(change.round, len(rules.division.candidates[client])) - 1)
    signal = taken.response.gain * taken.times / (taken.steps * fit.noise_multiplier * fit.max_grad_norm)
    normal.gram += signal**2 / taken.response.variance * gram * (here[:, None] & here[None, :])
    normal.sides += signal / taken.response.variance * inner * here


def drowned(fit: DpSgd, knowledge: Knowledge) -> bool:
    """Whether the noise of a step is longer than a whole batch of gradients may be, all of one direction."""
    module = knowledge.workbench.module(knowledge.wire.travelling(0), "joint")
    entries = sum(p.numel() for name, p in module.named_parameters() if fit.layers == "all" or name.startswith("head."))
    length: float = fit.noise_multiplier * entries**0.5
    return length >= fit.batch_size


def clipped(gradients: Gradients, bound: float) -> tuple[Tensor, Tensor]:
    """The Gram matrix [n, n] of gradients clipped to norm ``bound``, and what each [n] was multiplied by; float64."""
    gram = gradients.gram().double()
    factors = (bound / gram.diagonal().clamp_min(1e-30).sqrt()).clamp(max=1.0)
    return gram * factors[:, None] * factors[None, :], factors
