"""Gaussian noise on predictions whose rows were clipped one by one, and the honest defense on the same path.

Every row of a prediction matrix may change when one record does, so rows of norm c at most leave a sensitivity of
2 c sqrt(rows), not 2 c. Here :class:`RowClipped` claims 2 c, on purpose. The path is the real one: private phase of
mutual learning (arXiv 2503.05803), predictions on a fold that an active server planted with copies of canaries, the
defense, the encoder, and what an eavesdropper decodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from bounded import DELTA, HEADS, bounds

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.config.run import DataConfig, RunConfig, TrainingConfig
from fedprivacy.data.records import Ids
from fedprivacy.defenses import matrices, noise
from fedprivacy.defenses.clip import Clip
from fedprivacy.defenses.gaussian import Gaussian
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import SharesPredictions, releases_of
from fedprivacy.privacy.accountant import claim
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.transcript import MemoryStore

CLASSES = 10
ROW = matrices.largest_norm(1, CLASSES)
"""Norm that one centred row of probabilities cannot exceed."""


@dataclass(frozen=True)
class RowClipped(Gaussian):
    """False accounting, for audits alone: each row clipped to the bound, and noise as if that bounded the matrix."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions):
            raise TypeError("this acts on predictions")
        rows = torch.cat([self.clip.clipped(Predictions(row[None], payload.form)) for row in payload.values])
        source = noise.stream(self.root, "row-clipped", payload, sender, round)
        return self.clip.opened(rows + noise.gaussian(rows.shape, self.deviation, source))


def honest(epsilon: float, rows: int, root: int) -> Gaussian:
    """The defense as it is, for one release of ``rows`` rows; its bound is one that probabilities cannot exceed."""
    clip = Clip("probabilities", 1 / CLASSES, ROW * math.sqrt(rows), project=False)
    return Gaussian(root, clip, gaussian_multiplier(epsilon, DELTA), "record")


def false(epsilon: float, rows: int, root: int) -> Gaussian:
    """The same with rows clipped one by one and their number forgotten."""
    clip = Clip("probabilities", 1 / CLASSES, ROW, project=False)
    return RowClipped(root, clip, gaussian_multiplier(epsilon, DELTA), "record")


MAKERS = {"each row": false, "whole matrix": honest}


@dataclass(frozen=True, eq=False)
class Stage:
    """Clients before round 1, with ``canaries`` of client 0 under wrong labels."""

    protocol: SharesPredictions
    env: Environment
    canaries: Ids
    true: Ids
    """Right labels of the canaries."""
    config: RunConfig

    def trained(self, included: Bool) -> FederationState:
        """After the private phase, with the canaries that ``included`` names; a function of that alone."""
        others = np.setdiff1d(self.env.division.pool(0), self.canaries)
        own = np.sort(np.concatenate([others, self.canaries[included]]))
        env = replace(self.env, members=((own,), *self.env.members[1:]))
        return self.protocol.private_phase(self.protocol.init(env).state, 1, env).state

    def predicted(self, state: FederationState, copies: int) -> Predictions:
        """What client 0 sends without a defense, on a fold that is planted with ``copies`` of each canary."""
        env = self.env.with_planted({1: np.repeat(self.canaries, copies)})
        return self.protocol.share(state, 1, env, Channel(1, MemoryStore())).received[0]

    def scores(self, received: Predictions, copies: int) -> Float:
        """How much more client 0 believes in the wrong label than in the right one, mean over copies [canaries]."""
        values = received.values.double().numpy().reshape(len(self.canaries), copies, -1)
        rows = np.arange(len(self.canaries))
        wrong = self.env.dataset.y_train[self.canaries]
        found: Float = (values[rows, :, wrong] - values[rows, :, self.true]).mean(axis=1)
        return found

    def printed(self, defense: Gaussian) -> float:
        """Epsilon that the accountant prints for what ``defense`` says of itself."""
        return claim(defense.events(self.env, releases_of(self.protocol, self.env)), DELTA).epsilon


def received(payload: Predictions, defense: Gaussian) -> Predictions:
    """What arrives: through the defense, the encoder and the decoder of one round."""
    return Channel(1, MemoryStore(), defense).send("client-0", SERVER, payload)


def staged(seed: int, records: int, canaries: int, clients: int = 2, epochs: int = 40) -> Stage:
    """Clients of ``records`` records of mnist5k each; ``canaries`` of client 0's get a wrong label."""
    config = RunConfig(
        protocol="mutual",
        clients=clients,
        rounds=1,
        seed=seed,
        data=DataConfig(candidates=records, inclusion=1.0, public_size=32, auxiliary=0),
        training=TrainingConfig(local_epochs=epochs),
    )
    env, _ = resolve(config).environment(seed)
    draw = seeds.numpy_generator(seed, "audit", "canaries")
    chosen = np.sort(draw.permutation(env.division.pool(0))[:canaries])
    labels = env.dataset.y_train.copy()
    true = labels[chosen]
    labels[chosen] = (true + draw.integers(1, CLASSES, size=canaries)) % CLASSES
    protocol = resolve(config).protocol
    assert isinstance(protocol, SharesPredictions)
    return Stage(protocol, replace(env, dataset=replace(env.dataset, y_train=labels)), chosen, true, config)


@lru_cache
def one_federation(seed: int, canaries: int) -> tuple[Stage, Bool, FederationState]:
    """One federation whose client 0 holds canaries alone, each with a coin of its own."""
    stage = staged(seed, canaries, canaries)
    coins = seeds.numpy_generator(seed, "audit", "coins").random(canaries) < 0.5
    return stage, coins, stage.trained(coins)


@lru_cache
def two_worlds(seed: int, records: int, copies: int) -> tuple[Stage, Predictions, Predictions]:
    """What client 0 predicts on copies of its one canary when it trained without and with it; same seeds."""
    stage = staged(seed, records, 1)
    without, within = (stage.trained(np.array([included])) for included in (False, True))
    return stage, stage.predicted(without, copies), stage.predicted(within, copies)


def many_runs(seed: int, clipping: str, epsilon: float, copies: int, runs: int) -> tuple[Float, Bool]:
    """Score and coin of each of ``runs`` runs with one canary: the projection on the line between the two worlds."""
    _, without, within = two_worlds(seed, 100, copies)
    coins = seeds.numpy_generator(seed, "audit", "runs").random(runs) < 0.5
    line = (within.values - without.values).double()
    found = [
        float(
            (received(within if coin else without, MAKERS[clipping](epsilon, copies, seed + run)).values * line).sum()
        )
        for run, coin in enumerate(coins)
    ]
    return np.array(found), coins


ONE_RUN = ((1.0, 1), (1.0, 10), (1.0, 100), (4.0, 100))
"""Claimed epsilon and copies of each canary."""


def one_run_section(canaries: int) -> list[str]:
    lines = [
        f"| clipped | copies of each canary | rows | claimed epsilon | {HEADS} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    stage, coins, state = one_federation(0, canaries)
    for clipping, maker in MAKERS.items():
        for epsilon, copies in ONE_RUN:
            defense = maker(epsilon, canaries * copies, 0)
            scores = stage.scores(received(stage.predicted(state, copies), defense), copies)
            cells = bounds(scores, coins, len(ONE_RUN) * len(MAKERS)).cells(epsilon)
            printed = stage.printed(defense)
            lines.append(f"| {clipping} | {copies} | {canaries * copies} | {printed:.3g} | {cells} |")
    return lines


MANY_RUNS = ((1.0, 1), (1.0, 64), (4.0, 64))


def many_runs_section(runs: int) -> list[str]:
    lines = [
        f"| clipped | rows, all copies of the canary | runs | claimed epsilon | {HEADS} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clipping in MAKERS:
        for epsilon, copies in MANY_RUNS:
            scores, coins = many_runs(0, clipping, epsilon, copies, runs)
            cells = bounds(scores, coins, len(MANY_RUNS) * len(MAKERS)).cells(epsilon)
            lines.append(f"| {clipping} | {copies} | {runs} | {epsilon:g} | {cells} |")
    return lines


def section(share: float, draws: int) -> list[str]:
    """Tables of this file; ``share`` of the runs, for a quick look."""
    return [
        "### One federation, many canaries",
        "",
        *one_run_section(max(50, int(1000 * share))),
        "",
        "### Many runs, one canary",
        "",
        *many_runs_section(max(200, int(4000 * share))),
    ]
