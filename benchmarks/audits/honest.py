"""Honest mechanisms under the same audits, seed after seed: the lower bound must stay below the claim.

Three games: noise on whole prediction matrices on the path of mutual learning, one canary and many runs; DP-SGD
against an adversary who sees every noisy sum and knows all but the coin, whose trade-off curve is exactly the claimed
one; and the library's DP-SGD in one federation with many canaries, which an active server probes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from bounded import HEADS, Measured, bounds
from rows import Stage, many_runs, staged
from teacher_runs import Setting, play

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.config.run import DefenseConfig
from fedprivacy.federation.interfaces import prepared
from fedprivacy.study.resolve import resolve

Game = Callable[[int, float, int], tuple[Float, Bool]]
"""Seed, claimed epsilon, and runs or canaries, to scores and coins."""

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
COPIES, CANARIES, ROUNDS = 64, 400, 10


def of_predictions(seed: int, epsilon: float, runs: int) -> tuple[Float, Bool]:
    """Noise on whole matrices, all rows copies of one canary."""
    return many_runs(seed, "whole matrix", epsilon, COPIES, runs)


def of_sums(seed: int, epsilon: float, runs: int) -> tuple[Float, Bool]:
    """DP-SGD of a linear model without any teacher, all noisy sums seen."""
    found = play(Setting(n=50, rounds=ROUNDS, epsilon=epsilon, teacher="none"), runs, seed, seed)
    return found.scores, found.coins


def of_training(seed: int, epsilon: float, canaries: int) -> tuple[Float, Bool]:
    """The defense dp-sgd in one federation whose records are all canaries, probed by an active server."""
    stage: Stage = staged(seed, canaries, canaries, clients=1, epochs=5)
    coins = seeds.numpy_generator(seed, "audit", "coins").random(canaries) < 0.5
    config = stage.config.model_copy(update={"defense": DefenseConfig(name="dp-sgd", epsilon=epsilon)})
    guarded = replace(stage, env=prepared(stage.env, resolve(config).defense(stage.env)))
    return guarded.scores(guarded.predicted(guarded.trained(coins), 1), 1), coins


GAMES = (
    ("Gaussian noise on matrices, one canary", of_predictions, {4.0: 2500}, 600),
    ("DP-SGD, every noisy sum seen", of_sums, {4.0: 2500}, 1000),
    ("DP-SGD, 400 canaries, predictions probed", of_training, {}, CANARIES),
)
"""Runs or canaries: more for a claim of 4, so that the ceiling passes it; no affordable number does that for 8."""


def judged(game: Game, epsilon: float, size: int, seeds_of_row: int) -> str:
    """Cells of one row."""
    return cells([bounds(*game(seed, epsilon, size), 1) for seed in range(seeds_of_row)], epsilon)


def section(share: float, draws: int) -> list[str]:
    """Table of this file: 20 seeds a row, or fewer for a quick look."""
    number = 20 if share >= 1 else max(2, int(20 * share))
    lines = [
        f"| mechanism | seeds | guesses or runs | claimed epsilon | {HEADS.replace('ceiling | ', '')} | ceiling "
        "| one run or Clopper-Pearson above the claim | Gaussian DP above the claim |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, game, more, usual in GAMES:
        for epsilon in EPSILONS:
            size = more.get(epsilon, usual)
            lines.append(f"| {name} | {number} | {size} | {epsilon:g} | {judged(game, epsilon, size, number)} |")
    return lines


def cells(found: list[Measured], claim: float) -> str:
    """Mean and largest bound of each kind, the ceiling, and how many seeds were above the claim."""
    kinds = [[m.one_run for m in found], [m.pairs for m in found], [m.gaussian for m in found]]
    shown = [f"{np.mean(kind):.2f} (max {max(kind):.2f})" for kind in kinds]
    broken = sum(max(m.one_run, m.pairs) > claim for m in found)
    apart = sum(m.gaussian > claim for m in found)
    return " | ".join([*shown, f"{min(m.ceiling for m in found):.2f}", f"{broken} of {len(found)}", str(apart)])
