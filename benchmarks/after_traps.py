"""What a round of traps leaves of a federation: accuracy of the averaged model by round, honest and after traps.

The server of federated averaging sends the forged model in one round, averages what comes back, and is honest from then
on. Mean over seeds of the accuracy on test records, in the round of the traps and so many rounds later.

    python benchmarks/after_traps.py [--seeds 3] [--round 4] [--dataset npz --data-dir FILE] [--model mlp]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.traps.plan import forgeries
from fedprivacy.attacks.membership.traps.rounds import Episode
from fedprivacy.attacks.membership.traps.served import Served
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.dishonest import ForgingChannel, state_after
from fedprivacy.federation.tested import scored
from fedprivacy.study.ran import Ran, common_start
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

LATER = (0, 1, 2, 4, 8)
"""Rounds after that of the traps."""
SHARES = (0.0, 0.1, 0.25, 1.0)
"""Shares of the layer's rows that are traps; 0 is the honest run."""


def accuracies(asked: argparse.Namespace, seed: int, place: Path) -> Iterator[list[float]]:
    """One list a share in ``SHARES``: accuracy by round in ``LATER``."""
    attack = {"attacks": ("membership",), "adversaries": ("active-server",), "observations": ("traps",)}
    data = {"dataset": asked.dataset, "data_dir": asked.data_dir}
    content = {"protocol": "fedavg", "rounds": asked.round + max(LATER), "attack": attack, "seed": seed, "data": data}
    study = resolve(build(RunConfig, {**content, "training": {"model": asked.model}}, "benchmark"))
    env, game = study.environment(seed)
    protocol = study.protocol
    done = engine.run(protocol, env, place)
    ran = Ran(study, seed, False, game, env, None, done, place)
    for share in SHARES:
        known = ran.knowledge(start=common_start(protocol, env))
        knowledge = replace(known, attack=known.attack.model_copy(update={"planted_share": share or 1.0}))
        (honest,) = view_of([done.transcript], Adversary("server", "active")).transcripts
        served, first = Served(knowledge, honest), asked.round
        forge = next(
            iter(forgeries(served, knowledge, Episode(first, first, first), np.arange(len(served.candidates))))
        )
        state, found = state_after(protocol, env, place, first - 1, None), []
        for number in range(first, env.rounds + 1):
            told = number, MemoryStore(), None
            trapped = share > 0 and number == first
            channel = ForgingChannel(*told, state, forge) if trapped else Channel(*told, engine.held(state))
            state = protocol.round(state, number, env, channel).state
            if number - first in LATER:
                models = scored(protocol.models(state, env), env)
                found.append(float(np.mean([one["accuracy"] for one in models.values()])))
        yield found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--round", type=int, default=4)
    parser.add_argument("--dataset", default="mnist5k")
    parser.add_argument("--data-dir")
    parser.add_argument("--model", default="mlp")
    asked = parser.parse_args()
    every = []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as place:
            every.append(list(accuracies(asked, seed, Path(place))))
    print(
        "| rows that are traps | "
        + " | ".join(f"{later} rounds later" if later else "that round" for later in LATER)
        + " |"
    )
    print("|:--|" + "--:|" * len(LATER))
    for share, found in zip(SHARES, np.mean(every, axis=0), strict=True):
        name = f"{100 * share:g}%" if share else "none: the honest run"
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in found) + " |")


if __name__ == "__main__":
    main()
