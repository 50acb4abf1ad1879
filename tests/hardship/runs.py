"""False alarms of membership attacks over whole runs in which there is nothing to find, and a leak that must be found.

``python tests/hardship/runs.py``: 200 draws a null. Federations on 8x8 digits that cannot learn, their steps being
below the rounding of every weight, with pools alike, of few classes, and skewed; and one that learns, judged by coins
that are drawn anew and by its own coins in another order. A row of a report whose interval of AUC lies above chance is
an alarm; it errs on one side, half as often as its level allows. ``make test`` plays a few.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scipy.stats import binom

from fedprivacy import folder, seeds
from fedprivacy.adversary.threat import Truth
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.run import Plan, execute

DRAWS, LEVEL = 200, 0.95
PROTOCOLS = ("fedavg", "mutual")
PARTITIONS: Mapping[str, Mapping[str, Any]] = {
    "pools alike": {},
    "two classes a client": {"partition": "shards"},
    "Dirichlet .1": {"partition": "dirichlet", "alpha": 0.1},
}


def config(protocol: str, seed: int, data: Mapping[str, Any] | None = None, **training: Any) -> RunConfig:
    """A small federation, its server reading it in all ways that are cheap."""
    return build(
        RunConfig,
        {
            "protocol": protocol,
            "seed": seed,
            "clients": 3,
            "rounds": 2,
            "data": {"dataset": "digits", "candidates": 60, "public_size": 20, "auxiliary": 60, **(data or {})},
            "training": {"model": "mlp-small", "batch_size": 16, "local_epochs": 2, **training},
            "attack": {
                "attacks": ("membership",),
                "adversaries": ("server",),
                "observations": READ[protocol],
                "level": LEVEL,
                "surrogate_epochs": 3,
            },
        },
        "null",
    )


ODDS = ("joint", "stack")
"""Statistics whose scores share a scale over clients, which a report pools as they are."""
READ = {"fedavg": ("joint-updates", "uploaded-weights"), "mutual": ("joint-predictions", "surrogate")}


def findings(settings: RunConfig, where: Path) -> list[Finding]:
    """AUC of every statistic over all clients, as the report has it."""
    result = execute(settings, Plan(where, baselines=False))
    return [
        finding
        for finding in result.findings
        if finding.metric == "AUC" and finding.target in ("all clients", "any client") and finding.value is not None
    ]


def alarms(found: list[Finding]) -> Counter[str]:
    """Rows whose interval lies above chance."""
    return Counter(f"{one.observation}: {one.statistic}" for one in found if (one.low or 0.0) > 0.5)


def cannot_learn(protocol: str, partition: str, draws: int, where: Path) -> Counter[str]:
    """Alarms by row over ``draws`` runs of their own seeds."""
    total: Counter[str] = Counter()
    for draw in range(draws):
        settings = config(protocol, draw, PARTITIONS[partition], lr=1e-12)
        total += alarms(findings(settings, where / f"{protocol} {partition} {draw}"))
    return total


def other_coins(protocol: str, draws: int, where: Path, shuffled: bool) -> Counter[str]:
    """Alarms by row of one run that learns, its coins drawn anew, or ``shuffled`` within a client, ``draws`` times."""
    place = where / f"{protocol} learns"
    if not place.exists():
        findings(config(protocol, 0), place)
    total: Counter[str] = Counter()
    for path in sorted((place / "scores").glob("*.safetensors")):
        arrays, _ = folder.read_arrays(path)
        names = sorted({key.partition("/")[0] for key in arrays})
        statistics = sorted({key.partition("/")[2] for key in arrays} - {"coins"})
        for draw in range(draws):
            rng = seeds.numpy_generator(0, "other coins", path.stem, draw)
            coins = {
                name: rng.permutation(arrays[f"{name}/coins"].astype(bool))
                if shuffled
                else rng.random(len(arrays[f"{name}/coins"])) < 0.5
                for name in names
            }
            for statistic in statistics:
                odds = statistic in ODDS
                targets = [Target(name, arrays[f"{name}/{statistic}"], Truth(coins[name]), odds=odds) for name in names]
                total += alarms(examiner.membership([targets], Label(path.stem, "server", statistic, LEVEL, False))[:1])
    return total


def allowed(draws: int) -> int:
    """Exceeded with probability 0.001 by a row that errs as often as it may."""
    return int(binom.ppf(0.999, draws, (1 - LEVEL) / 2))


def main(draws: int = DRAWS) -> int:
    """The worst row of each null; 1 where one errs more often than chance allows, or a leak is not found."""
    print(f"{draws} draws a null at level {LEVEL}; allowed: {allowed(draws)}")
    over = 0
    with tempfile.TemporaryDirectory() as folder_name:
        where = Path(folder_name)
        for protocol in PROTOCOLS:
            found = {f"cannot learn, {name}": cannot_learn(protocol, name, draws, where) for name in PARTITIONS} | {
                "coins drawn anew": other_coins(protocol, draws, where, shuffled=False),
                "coins shuffled": other_coins(protocol, draws, where, shuffled=True),
            }
            for name, rows in found.items():
                worst, count = rows.most_common(1)[0] if rows else ("no row", 0)
                over += count > allowed(draws)
                print(f"{protocol:8s} {name:36s} worst row {worst}: {count} false alarms", flush=True)
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
