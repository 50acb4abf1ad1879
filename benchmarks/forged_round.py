"""What one forged round costs a federation that was trained before it, and what the defenses that stop it cost.

``python benchmarks/forged_round.py [--rounds 60] [--forged 40] [--seeds 3]``: test accuracy, mean over seeds. In the
forged round the server sends its imprint model, made around the honest one. Afterwards it puts the honest model back,
so that a round of training is lost; or it goes on with what lies behind the imprint layer, as the clients trained it.
Then the same federation without an attack, under each defense, beside the one without a defense.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation.engine import held
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import Defense, prepared
from fedprivacy.federation.tested import scored
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.study.inversion.invert import imprinted
from fedprivacy.study.resolve import resolve
from fedprivacy.study.resolved import Study
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

BINS, CANDIDATES, INNER, GLOBAL = 2048, 400, "inner.", "server/model"
ONE_STEP, ONE_PASS = {"local_steps": 1}, {"local_epochs": 1}
DEFENSES = (
    ("one step, none", ONE_STEP, {}),
    ("one step, secure-aggregation", ONE_STEP, {"name": "secure-aggregation"}),
    ("one step, dp-fedavg, noise multiplier .01", ONE_STEP, {"name": "dp-fedavg", "sigma": 0.01}),
    ("one pass, none", ONE_PASS, {}),
    ("one pass, dp-sgd, noise multiplier .01", ONE_PASS, {"name": "dp-sgd", "sigma": 0.01}),
)


def study_of(rounds: int, training: Mapping[str, int], defense: Mapping[str, object]) -> Study:
    """Averaging of plain steps on 64 records."""
    config = {
        "protocol": "fedavg",
        "rounds": rounds,
        "options": {"weighting": "uniform"},
        "data": {"candidates": CANDIDATES, "public_size": 0},
        "training": {"optimizer": "sgd", "lr": 0.1, "batch_size": 64, **training},
        "defense": defense,
    }
    return resolve(build(RunConfig, config, "forged round"))


class Federation:
    """A federation of one seed, round by round."""

    def __init__(self, study: Study, root: int) -> None:
        self.study, self.root = study, root
        env, self.game = study.environment(root)
        self.defense: Defense | None = study.defense(env)
        self.env: Environment = prepared(env, self.defense)
        self.start: FederationState = study.protocol.init(self.env).state

    def after(self, state: FederationState, round: int, env: Environment | None = None) -> FederationState:
        """The state after one more round."""
        channel = Channel(round, MemoryStore(), self.defense, held(state))
        return self.study.protocol.round(replace(state, round=round - 1), round, env or self.env, channel).state

    def rest(self, state: FederationState, first: int) -> list[float]:
        """Accuracy after each round from ``first`` to the last."""
        found = []
        for round in range(first, self.env.rounds + 1):
            state = self.after(state, round)
            found.append(self.accuracy(state.parts[GLOBAL]))
        return found

    def accuracy(self, weights: Mapping[str, Tensor], env: Environment | None = None) -> float:
        """On test records."""
        env = env or self.env
        return scored({"server": (env.architecture(0), weights)}, env)["server"]["accuracy"]

    def with_model(self, weights: Mapping[str, Tensor]) -> FederationState:
        """Everybody holds ``weights``."""
        everybody = [f"client-{client}/model" for client in range(self.env.clients)]
        return self.start.having(dict.fromkeys([GLOBAL, *everybody], weights))


def forged(rounds: int, at: int, root: int) -> dict[str, list[float]]:
    """Accuracy of the model sent in round ``at`` and after that round and each later one, by what the server does."""
    told = Federation(study_of(rounds, ONE_STEP, {"name": "secure-aggregation"}), root)
    state = told.start
    for round in range(1, at):
        state = told.after(state, round)
    honest = state.parts[GLOBAL]
    env = imprinted(told.env, told.game.division, BINS, root, honest)
    start = told.study.protocol.init(env).state
    moved = told.after(start, at, env).parts[GLOBAL]
    inside = {name.removeprefix(INNER): value for name, value in moved.items() if name.startswith(INNER)}
    sent, back = told.accuracy(start.parts[GLOBAL], env), told.accuracy(moved, env)
    return {
        "honest in every round": [told.accuracy(honest), *told.rest(state, at)],
        "forged, then the honest model put back": [sent, back, *told.rest(told.with_model(honest), at + 1)],
        "forged, then on with what lay behind": [sent, back, *told.rest(told.with_model(inside), at + 1)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--forged", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    runs = [forged(options.rounds, options.forged, root) for root in range(options.seeds)]
    at = options.forged
    later = sorted({at, *(round for more in (1, 2, 5) if (round := at + more) <= options.rounds), options.rounds})
    print(f"| server | model sent in round {at} | " + " | ".join(f"after {round}" for round in later) + " |")
    for name in runs[0]:
        mean = np.mean([one[name] for one in runs], axis=0)
        print(f"| {name} | " + " | ".join(f"{mean[k]:.1%}" for k in (0, *(round - at + 1 for round in later))) + " |")
    found: dict[str, list[float]] = {}
    print("\n| training and defense | accuracy | over none |")
    for name, training, defense in DEFENSES:
        study = study_of(options.rounds, training, defense)
        every = [Federation(study, root) for root in range(options.seeds)]
        found[name] = [one.rest(one.start, 1)[-1] for one in every]
        against = paired_interval(found[name], found[name.split(",")[0] + ", none"])
        interval = f"[{100 * against.low:+.1f}, {100 * against.high:+.1f}]" if options.seeds > 1 else "no interval"
        print(f"| {name} | {np.mean(found[name]):.1%} | {100 * against.value:+.1f} {interval} |", flush=True)


if __name__ == "__main__":
    main()
