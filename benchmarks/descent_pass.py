"""Cpu-seconds of one pass of joint decoding: a client of the default ``mutual`` followed with relaxed coins, and back.

Three passes, each the forward run with its tape and the sweep over it, as the descent makes 15 of a client from two
seats.

    python benchmarks/descent_pass.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.observations.joint_predictions import JointPredictions
from fedprivacy.attacks.membership.received import answers
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.situation import Situation, situation
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.study.observe import brought
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve

PASSES = 3


def followed(place: Path) -> Situation:
    """The first client, as the server knows it."""
    config = RunConfig.model_validate({"protocol": "mutual", "attack": {"attacks": ["membership"]}})
    study = resolve(config)
    env, game = study.environment(config.seed)
    defense = study.defense(env)
    done = engine.run(study.protocol, env, place, defense)
    ran = Ran(study, config.seed, False, game, env, defense, done, place)
    view = view_of([done.transcript], Adversary("server"))
    return situation(view, brought(ran, JointPredictions()), 0, [one for one in answers(view) if one.client == 0])


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        known = followed(Path(place))
    client, start = known.client, known.start
    coins = torch.rand(len(client.x), generator=seeds.generator(0, "coins"))
    print(f"{sum(map(client.steps, client.events))} steps of {len(start)} numbers")
    for number in range(PASSES):
        begun = time.process_time()
        done = client.forward(start, coins, number)
        there = time.process_time()
        derivatives(done, client.optimiser, start, {t: torch.ones_like(z) for t, z in done.answers.items()})
        print(f"forward {there - begun:.2f}, back {time.process_time() - there:.2f} cpu-seconds")


if __name__ == "__main__":
    main()
