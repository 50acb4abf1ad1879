"""False alarms of membership attacks over whole runs in which there is nothing to find, and a leak that must be found.

``python tests/hardship/runs.py``: 200 draws a null; ``runs.py 50 mutual`` plays fewer draws of one game. Federations on
8x8 digits that cannot learn, their steps being below the rounding of every weight, with pools alike, of few classes,
and skewed; and one that learns, judged by coins that are drawn anew and by its own coins in another order. Every seat
reads them: the server that follows the protocol, the one that does not, and a peer; one game stacks what it has. A row
of a report whose interval of AUC lies above chance is an alarm; it errs on one side, half as often as its level allows.
``make test`` plays a few.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.stats import binom

from fedprivacy import seeds
from fedprivacy.adversary.threat import Truth
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.run import Plan, execute

DRAWS, LEVEL = 200, 0.95
SEATS = ("server", "active-server", "client-0")
GAMES: Mapping[str, tuple[Any, ...]] = {
    "fedavg": (
        "fedavg",
        {"adversaries": SEATS, "observations": ("joint-updates", "uploaded-weights", "global-model", "traps")},
    ),
    "mutual": (
        "mutual",
        {"adversaries": SEATS, "observations": ("joint-predictions", "surrogate", "joint-probes")},
    ),
    "fedasync": ("fedasync", {"adversaries": ("client-0",), "observations": ("joint-updates",)}, 8),
    "feddf": ("feddf", {"adversaries": ("client-0",), "observations": ("joint-updates",)}),
    "fedavg, stacked": (
        "fedavg",
        {
            "adversaries": ("server",),
            "observations": ("joint-updates", "uploaded-weights"),
            "statistics": ("ratio", "stack"),
            "shadows": 4,
        },
    ),
}
"""By name: the protocol, who reads it how, and rounds if not two. Without shadow federations there is no stack; a peer
of asynchronous training wants two models sent to it."""

PARTITIONS: Mapping[str, Mapping[str, Any]] = {
    "pools alike": {},
    "two classes a client": {"partition": "shards"},
    "Dirichlet .1": {"partition": "dirichlet", "alpha": 0.1},
}


def config(game: str, seed: int, data: Mapping[str, Any] | None = None, **training: Any) -> RunConfig:
    """A small federation, read in all ways of ``game`` that are cheap."""
    protocol, read, *rounds = GAMES[game]
    return build(
        RunConfig,
        {
            "protocol": protocol,
            "seed": seed,
            "clients": 3,
            "rounds": rounds[0] if rounds else 2,
            "data": {"dataset": "digits", "candidates": 60, "public_size": 20, "auxiliary": 60, **(data or {})},
            "training": {"model": "mlp-small", "batch_size": 16, "local_epochs": 2, **training},
            "attack": {"attacks": ("membership",), "level": LEVEL, "surrogate_epochs": 3, **read},
        },
        "null",
    )


def findings(settings: RunConfig, where: Path) -> list[Finding]:
    """AUC of every statistic over all clients, as the report has it."""
    result = execute(settings, Plan(where, baselines=False))
    return [
        finding
        for finding in result.findings
        if finding.metric == "AUC" and finding.target in ("all clients", "any client") and finding.value is not None
    ]


def alarms(found: list[Finding]) -> Counter[str]:
    """By row, whether its interval lies above chance."""
    return Counter({row(one): int((one.low or 0.0) > 0.5) for one in found})


def row(one: Finding) -> str:
    """Who reads what how."""
    return f"{one.adversary}, {one.observation}: {one.statistic}"


def cannot_learn(game: str, partition: str, draws: int, where: Path) -> Counter[str]:
    """Alarms by row over ``draws`` runs of their own seeds."""
    total: Counter[str] = Counter()
    for draw in range(draws):
        settings = config(game, draw, PARTITIONS[partition], lr=1e-12)
        place = where / f"{game} {partition} {draw}"
        total.update(alarms(findings(settings, place)))
        shutil.rmtree(place)
    return total


def judged(game: str, where: Path) -> list[tuple[list[list[Target]], Label]]:
    """What is scored of a run that learns, with what it is called: all that its report judges, the stack too."""
    found: list[tuple[list[list[Target]], Label]] = []
    judge = examiner.membership

    def kept(repetitions: Any, label: Label, *more: Any) -> list[Finding]:
        found.append((repetitions, label))
        return judge(repetitions, label, *more)

    with patch.object(examiner, "membership", kept):
        findings(config(game, 0), where)
    return found


def other_coins(game: str, draws: int, where: Path, shuffled: bool) -> Counter[str]:
    """Alarms by row of one run that learns, its coins drawn anew, or ``shuffled`` within a client, ``draws`` times."""
    total: Counter[str] = Counter()
    for repetitions, label in judged(game, where / f"{game} learns {shuffled}"):
        for draw in range(draws):
            rng = seeds.numpy_generator(0, "other coins", label.adversary, label.observation, draw)
            drawn = [[_with_other_coins(one, rng, shuffled) for one in targets] for targets in repetitions]
            total.update(alarms(examiner.membership(drawn, replace(label, headline=False), [0] * len(drawn))[:1]))
    return total


def _with_other_coins(one: Target, rng: np.random.Generator, shuffled: bool) -> Target:
    coins = one.truth.coins
    return replace(one, truth=Truth(rng.permutation(coins) if shuffled else rng.random(len(coins)) < 0.5))


def allowed(draws: int, rows: int = 1) -> int:
    """Exceeded with probability 0.001 by any of ``rows`` that err as often as they may."""
    return int(binom.ppf(1 - 0.001 / rows, draws, (1 - LEVEL) / 2))


NULLS: Mapping[str, Callable[[str, int, Path], Counter[str]]] = {
    **{
        f"cannot learn, {name}": lambda game, draws, where, name=name: cannot_learn(game, name, draws, where)
        for name in PARTITIONS
    },
    "coins drawn anew": lambda game, draws, where: other_coins(game, draws, where, shuffled=False),
    "coins shuffled": lambda game, draws, where: other_coins(game, draws, where, shuffled=True),
}


def main(draws: int, games: Sequence[str]) -> int:
    """A line a null; 1 where a row errs more often than chance allows."""
    print(f"{draws} draws a null at level {LEVEL}\n")
    print("| game | null | rows | alarms a row | most in one row | allowed in one | which row |")
    print("|---|---|--:|--:|--:|--:|---|", flush=True)
    over = 0
    with tempfile.TemporaryDirectory() as folder_name:
        for game in games:
            for name, play in NULLS.items():
                counted = play(game, draws, Path(folder_name))
                rows = len(counted) or 1
                worst, most = counted.most_common(1)[0] if counted else ("it finds nothing to read", 0)
                limit = allowed(draws, rows)
                over += most > limit
                told = (game, name, len(counted), f"{counted.total() / rows:.1f}", most, limit, worst)
                print(f"| {' | '.join(map(str, told))} |", flush=True)
    return int(over > 0)


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(int(given[0]) if given else DRAWS, given[1:] or list(GAMES)))
