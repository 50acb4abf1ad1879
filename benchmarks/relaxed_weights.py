"""Whether a differentiable simulation reads weights better than joint decoding does: one client, a few rounds.

The client's training in each round, from the model that it was sent, is a function of relaxed coins in [0, 1], as in
joint decoding of predictions. Descent on their log-odds matches where it ends to the update that was seen. Entries
count by the noise that hard coins, drawn by the adversary, leave around the relaxed ones, with their mean taken off.
``warm`` starts from the log-odds of joint decoding.

    python benchmarks/relaxed_weights.py [--rounds 3] [--steps 40] [--rate 0.3] [--seed 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.changes import Change, changes
from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import optimiser_of
from fedprivacy.attacks.membership.unrolled.two_layers import TwoLayers, model_of
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.course import Answer, Private
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.federation.local_training import TrainsLocally
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.study.observe import rules
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Records, label_loss

WORLDS = 8
"""Drawn sets of coins, in opposite pairs."""
MOST = 4.0
"""Largest absolute log-odds."""
FLOOR = 0.1
"""Smallest deviation of an entry, as a share of the root mean square over all."""


class Revealed(TwoLayers):
    """A perceptron whose answer is its weights."""

    def logits(self, vector: Tensor, x: Tensor) -> Tensor:
        return vector[None]


@dataclass
class Round:
    """One change of one client: where the simulation starts, what was seen, and how far off entries may be."""

    client: Client
    start: Tensor
    wanted: Tensor
    noise: Tensor


def rounds_of(found: Sequence[Change], x: Tensor, y: Tensor, bench: Any, config: Any, seed: int) -> list[Round]:
    """The changes as simulations, with the noise and the bias of each from drawn coins."""
    plain = model_of(bench.module("mlp"), [x])
    assert isinstance(plain, TwoLayers)
    model = Revealed(plain.module, plain.used, plain.hidden, plain.outputs)
    n, made = len(x), []
    for change in found:
        client = Client(
            model,
            optimiser_of(config),
            config,
            model.prepared(x),
            y,
            [torch.arange(n)],
            {1: x[:1]},
            [Private(1), Answer(1)],
            0.5,
        )
        start, apart = model.flatten(change.start), []
        for world in range(WORLDS):
            draw = seeds.numpy_generator(seed, "coins", change.round, world // 2).random(n) < 0.5
            coins = draw if world % 2 == 0 else ~draw
            learner = bench.learner("mlp", change.start)
            own = Records(x.numpy()[coins], y.numpy()[coins])
            learner.fit(own, config.local_epochs, (seed, ("hard", change.round, world)), label_loss)
            relaxed = client.forward(start, torch.from_numpy(coins).float(), seeds.value(seed, "soft", world), False)
            apart.append(model.flatten(learner.weights()) - relaxed.answers[1][0])
        off = torch.stack(apart)
        noise = (off.square() if WORLDS < 3 else off - off.mean(dim=0)).square().mean(dim=0).sqrt()
        noise = noise + FLOOR * noise.square().mean().sqrt()
        made.append(Round(client, start, model.flatten(change.end) - off.mean(dim=0), noise))
    return made


def descended(made: Sequence[Round], odds: Tensor, steps: int, rate: float, seed: int) -> Tensor:
    """Log-odds after ``steps`` of Adam, each with new orders of batches."""
    m, v = torch.zeros_like(odds), torch.zeros_like(odds)
    for step in range(1, steps + 1):
        share, by_share = torch.sigmoid(odds), torch.zeros_like(odds)
        for number, one in enumerate(made):
            done = one.client.forward(one.start, share, seeds.value(seed, "descent", step, number))
            slope = (done.answers[1] - one.wanted) / one.noise**2 / one.wanted.numel()
            by_share += derivatives(done, one.client.optimiser, one.start, {1: slope})[0]
        by_odds = by_share * share * (1 - share)
        m, v = 0.8 * m + 0.2 * by_odds, 0.95 * v + 0.05 * by_odds**2
        now = rate * (1 - 0.9 * (step - 1) / steps)
        odds = odds - now * (m / (1 - 0.8**step)) / ((v / (1 - 0.95**step)).sqrt() + 1e-12)
        odds = odds.clamp(-MOST, MOST)
    return odds


def told(name: str, scores: Any, coins: Any, cost: float) -> None:
    """One line."""
    scores = np.asarray(scores, dtype=np.float64)
    rate = tpr_at_fpr(scores[coins], scores[~coins], 0.01).tpr
    known = f"AUC {auc(scores[coins], scores[~coins]):.3f}  TPR at 1% FPR {rate:.2f}  {cost:.0f} cpu-s"
    print(f"{name:36} {known}", flush=True)


def main() -> None:
    """Print joint decoding and the relaxed simulation of the same client and rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    attack = {"attacks": ("membership",), "followed": 1, "effort": "thorough", "adversaries": ("server",)}
    content = {"protocol": "fedavg", "rounds": asked.rounds, "attack": attack, "seed": asked.seed}
    study = resolve(build(RunConfig, content, "benchmark"))
    env, game = study.environment(asked.seed)
    with tempfile.TemporaryDirectory() as place:
        done = engine.run(study.protocol, env, Path(place))
        view, division = view_of([done.transcript], Adversary("server")), game.division
        told_rules = rules(study, env, division)
        knowledge = Knowledge(
            study.attack,
            asked.seed + 100,
            env.dataset,
            game.candidates,
            division.auxiliary,
            env.workbench,
            rules=told_rules,
            wire=study.wire,
        )
        clock = time.process_time()
        decoded = JointUpdates().observe(view, knowledge).scores
        assert decoded is not None
        joint = np.nansum(decoded[0], axis=0)
        ids = np.concatenate(division.candidates[0])
        joint, coins = joint[: len(ids)], game.flat_coins[: len(ids)]
        told(f"joint decoding, {asked.rounds} rounds", joint, coins, time.process_time() - clock)
        assert told_rules.initial is not None and isinstance(study.protocol, TrainsLocally)
        start = {c: told_rules.initial.parts[study.protocol.held(c)] for c in range(env.clients)}
        found = [one for one in changes(view, start, env.settings) if one.clients == (0,)]
    x, y = torch.from_numpy(env.dataset.x_train[ids]), torch.from_numpy(env.dataset.y_train[ids])
    clock = time.process_time()
    made = rounds_of(found, x, y, env.workbench, env.settings.training, asked.seed + 7)
    simulated = time.process_time() - clock
    starts = {"relaxed": torch.zeros(len(ids)), "warm": torch.from_numpy(joint).float().clamp(-MOST + 0.5, MOST - 0.5)}
    for name, odds in starts.items():
        clock = time.process_time()
        ended = descended(made, odds, asked.steps, asked.rate, asked.seed + 8)
        cost = simulated + time.process_time() - clock
        told(f"{name}, {asked.steps} steps", ended, coins, cost)
        if name == "relaxed":
            told("  added to joint decoding", ended.double().numpy() + joint, coins, cost)


if __name__ == "__main__":
    main()
