"""Noised updates: what a claim of private training has to withstand, the best linear reading of a whole transcript.

Under DP-SGD with plain gradient steps (Abadi et al. 2016, arXiv 1607.00133) a client's round is known but for its coins
and its noise: with expected batch size B, rate lr, T steps, clip bound C and noise multiplier z

    (start - end) B / lr = sum_i n_i clip_C(g_i) + N(0, T z^2 C^2),   n_i ~ Binomial(T, q) if i is in, else 0.

The noise covariance is known and white, so generalised least squares on all records at once loses nothing: with
m = T q, rounds add up to ``G = sum m^2 <g_i, g_j> / (T z^2 C^2)`` and ``b = sum m <change, g_i> / (T z^2 C^2)``, a coin
has prior mean 1/2 and variance 1/4, and the log-odds of i are those of a normal posterior with all other records
explained away (Bishop 2006, Section 3.3). One step a round makes it exact; over several, gradients are taken half way
from start to end. What it assumes beyond that: the settings of the defense, which its claim names anyway. It fails for
optimisers that divide by moments of the noised gradients.
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
from fedprivacy.attacks.membership.joint.simulate import Columns, columns_of
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
        """Log-odds [clients, 1, n], NaN for candidates of others. ValueError where training is not plain DP-SGD."""
        rules = knowledge.rules
        if rules is None or not isinstance(rules.protocol, TrainsLocally):
            raise ValueError("nobody said how the protocol trains one client by itself")
        env, fit = _trained_by(knowledge, rules)
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
    if (
        fit is None
        or training.optimizer != "sgd"
        or training.momentum
        or training.weight_decay
        or training.augmentation
    ):
        raise ValueError("this reading is of DP-SGD with plain gradient steps: --optimizer sgd without momentum")
    if fit.noise_multiplier == 0:
        fit = replace(fit, noise_multiplier=1e-3)  # the control with the noise off is read in the same way
    return env, fit


def _add(
    found: dict[int, Normal], change: Change, knowledge: Knowledge, rules: Rules, env: Environment, fit: DpSgd
) -> None:
    (client,) = change.clients
    nominal, epochs = env.nominal(client, change.round), knowledge.settings.training.local_epochs
    steps = epochs * fit.steps(nominal)
    if fit.sampling == "partition":
        batch, times = nominal / fit.steps(nominal), float(epochs)
    else:
        batch, times = nominal * fit.rate(nominal), steps * fit.rate(nominal)
    if client not in found:
        columns = columns_of(knowledge, rules, client, knowledge.attack.owners == "known")
        n = len(columns.ids)
        zeros = torch.zeros(n, n, dtype=torch.float64)
        found[client] = Normal(columns, zeros, torch.zeros(n, dtype=torch.float64))
    normal = found[client]
    module = knowledge.workbench.module(knowledge.wire.travelling(client), "joint")
    place = {name: t if steps == 1 else (t + change.end[name]) / 2 for name, t in change.start.items()}
    module.load_state_dict({**module.state_dict(), **place})
    ids, data = normal.columns.ids, knowledge.dataset
    gradients = of_records(module, Records(data.x_train[ids], data.y_train[ids]))
    names = frozenset(name for name in change.start if fit.layers == "all" or name.startswith("head."))
    gram, clip = clipped(gradients.only(names), fit.max_grad_norm)
    moved = {name: (change.start[name] - change.end[name]) * (batch / knowledge.settings.training.lr) for name in names}
    inner = gradients.only(names).inner(moved).double() * clip
    here = torch.from_numpy(normal.columns.fold == min(change.round, len(rules.division.candidates[client])) - 1)
    precision = 1 / (steps * (fit.noise_multiplier * fit.max_grad_norm) ** 2)
    normal.gram += times**2 * precision * gram * (here[:, None] & here[None, :])
    normal.sides += times * precision * inner * here


def clipped(gradients: Gradients, bound: float) -> tuple[Tensor, Tensor]:
    """The Gram matrix [n, n] of gradients clipped to norm ``bound``, and what each [n] was multiplied by; float64."""
    gram = gradients.gram().double()
    factors = (bound / gram.diagonal().clamp_min(1e-30).sqrt()).clamp(max=1.0)
    return gram * factors[:, None] * factors[None, :], factors
