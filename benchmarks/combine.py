"""How several observed rounds become one score: the last, their mean or their maximum, by statistic and protocol.

Weights, updates and prototypes are read in every round by statistics of single records. References are the other
clients, or shadow federations; the truth is used to judge the rules, which is what this page is for, and by no attack.

    python benchmarks/combine.py --seeds 2 --runs runs/combine --out reports/combine.md
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import catalog
from fedprivacy.attacks.membership.combine import Rule, combine, score_rounds
from fedprivacy.attacks.membership.statistics import STATISTICS, applicable
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.metrics.pooling import pool_by_rank
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.study.job import game
from fedprivacy.study.membership.stacked import Bank, bank_of
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.run import Plan, bank, execute

PROTOCOLS = {
    ("fedavg", "server"): "uploaded-weights",
    ("fedavg", "client-0"): "global-model",
    ("fml", "server"): "uploaded-memes",
    ("fedkd", "server"): "decoded-updates",
    ("fedproto", "server"): "prototypes",
}
NAMES = ("loss", "calibrated", "ratio", "lira-offline", "lira-online", "base-online")
RULES: tuple[Rule, ...] = ("last", "mean", "max")
SHADOWS = 3

Key = tuple[str, str, str, str]
"""Protocol, adversary, references, statistic."""


def configuration(protocol: str, adversary: str, observation: str, seed: int) -> RunConfig:
    """One run whose adversary reads single records in every round."""
    attack: dict[str, Any] = {"attacks": ("membership",), "adversaries": (adversary,), "combine": "mean"}
    attack |= {"observations": (observation,), "shadows": SHADOWS, "statistics": NAMES, "targets": "one"}
    return build(RunConfig, {"protocol": protocol, "seed": seed, "attack": attack}, "combine")


def measured(runs: Path, seeds: int) -> Mapping[Key, Mapping[Rule, list[tuple[float, float]]]]:
    """AUC and TPR at 1% FPR of every rule, a list over seeds."""
    found: dict[Key, dict[Rule, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for (protocol, adversary), observation in PROTOCOLS.items():
        for seed in range(seeds):
            config = configuration(protocol, adversary, observation, seed)
            plan = Plan(runs / f"{protocol}-{adversary}-{seed}", resume=True, baselines=False)
            execute(config, plan)
            place = bank(config, plan, seed)
            shadows = tuple(place / f"federation-{number:04d}" for number in range(SHADOWS))
            repetition = Repetition(seed, game(config, seed, None), {}, plan.where, shadows)
            ((seat, name),) = catalog.observations(config)
            whole = bank_of(config, repetition, seat, [name])
            assert whole is not None
            for references, statistic, scores, coins in scored(whole):
                for rule in RULES:
                    members, others = pool_by_rank([combine(s, rule) for s in scores], coins)
                    key = (protocol, adversary, references, statistic)
                    found[key][rule].append((auc(members, others), tpr_at_fpr(members, others, 0.01).tpr))
    return found


def scored(whole: Bank) -> Iterator[tuple[str, str, list[Any], list[Any]]]:
    """References, statistic, scores [rounds, n] and coins [n] of every target."""
    for references, others in (("other clients", []), ("shadows", list(range(1, SHADOWS + 1)))):
        told: dict[str, list[Any]] = defaultdict(list)
        coins = []
        for name, chosen in whole.targets():
            for _, signals in whole.signals(0, others, name, chosen, coop=not others):
                for statistic in applicable(signals):
                    if statistic.name in NAMES:
                        told[statistic.name].append(score_rounds(statistic, signals))
            coins.append(whole.coins[0][chosen])
        for statistic_name, scores in told.items():
            yield references, statistic_name, scores, coins


def table(found: Mapping[Key, Mapping[Rule, list[tuple[float, float]]]]) -> list[str]:
    """One row a protocol, adversary, references and statistic; then the means by statistic."""
    lines = [
        "| protocol | adversary | references | statistic | " + " | ".join(RULES) + " |",
        "|---" * (4 + len(RULES)) + "|",
    ]
    sums: dict[str, dict[Rule, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for key, by_rule in found.items():
        means = {rule: np.mean(values, axis=0) for rule, values in by_rule.items()}
        for rule, mean in means.items():
            sums[key[3]][rule].append(mean)
        lines.append("| " + " | ".join([*key, *(f"{m[0]:.3f} / {m[1]:.3f}" for m in means.values())]) + " |")
    for name in NAMES:
        means = {rule: np.mean(values, axis=0) for rule, values in sums[name].items()}
        cells = [f"{mean[0]:.3f} / {mean[1]:.3f}" for mean in means.values()]
        lines.append(f"| **all** | | | {name} | " + " | ".join(cells) + " |")
    return lines


HEAD = """# How rounds are combined

AUC / TPR at 1% FPR where an adversary sees a model, an update or prototypes in each of 12 rounds, and a statistic
scores one record at a time. Defaults otherwise; mean over {seeds} seeds.

`mean` is the default: its AUC is the highest for every statistic that is a difference or a likelihood ratio. It is not
best everywhere: `ratio` is bounded above, so one round in which a record is suddenly well known counts most, and `max`
finds it; its TPR at 1% FPR falls under the mean. Joint decoding weighs rounds by itself, and no rule here concerns it.

"""


def main() -> None:
    assert set(NAMES) <= set(STATISTICS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/combine"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    words = HEAD.format(seeds=options.seeds) + "\n".join(table(measured(options.runs, options.seeds))) + "\n\n"
    words += f"Regenerate: `python benchmarks/combine.py --seeds {options.seeds} --out reports/combine.md`.\n"
    print(words)
    if options.out:
        options.out.write_text(words)


if __name__ == "__main__":
    main()
