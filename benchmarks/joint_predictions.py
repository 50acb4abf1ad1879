"""What each part of joint decoding of predictions is worth: one client of mutual learning, a part left out at a time.

python benchmarks/joint_predictions.py [--seed 7] [--steps 16]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.received import answers
from fedprivacy.attacks.membership.unrolled import order_noise
from fedprivacy.attacks.membership.unrolled.descent import Descent
from fedprivacy.attacks.membership.unrolled.situation import situation
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.study.observe import given_starts, rules
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve

PAIRS = 8
VARIANTS = {
    "as it is": (Descent(0), 0.5),
    "no mixing: each step starts where the last one ended": (Descent(0, memory=1), 0.5),
    "noise of records alone, with one common part": (Descent(0), 1.0),
    "no prior on coins": (Descent(0, prior=0.0), 0.5),
}


def main() -> None:
    """Print a line a variant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=16)
    asked = parser.parse_args()
    study = resolve(RunConfig(protocol="mutual", seed=asked.seed))
    env, played = study.environment(asked.seed)
    with tempfile.TemporaryDirectory() as place:
        defense = study.defense(env)
        done = engine.run(study.protocol, env, Path(place), defense)
        ran = Ran(study, asked.seed, False, played, env, defense, done, Path(place))
        told = rules(study, env, played.division, initial=False)
        knowledge = ran.knowledge(known=None, rules=told, starts=given_starts(env))
        view = view_of([done.transcript], Adversary("server"))
        known = situation(view, knowledge, 0, [one for one in answers(view) if one.client == 0])
    coins, prior = played.flat_coins[known.pool.places], known.pool.prior
    replays = order_noise.drawn(known.replay, known.private, known.asked, prior, PAIRS, 0, asked.seed + 1)
    for name, (plain, simple) in VARIANTS.items():
        order_noise.SIMPLE = simple
        noise = order_noise.noises(known.readings, replays)
        clock = time.process_time()
        descent = Descent(asked.steps, memory=plain.memory, prior=plain.prior)
        odds = descent.odds(
            known.client, known.start, known.readings, noise, asked.seed + 2, None, torch.from_numpy(prior)
        )
        cost, scores = time.process_time() - clock, np.asarray(odds.double().numpy())
        members, others = scores[coins], scores[~coins]
        rate = tpr_at_fpr(members, others, 0.01).tpr
        print(f"{name:54} AUC {auc(members, others):.3f}  TPR at 1% FPR {rate:.2f}  {cost:.0f} cpu-s", flush=True)


if __name__ == "__main__":
    main()
