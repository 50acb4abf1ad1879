"""What the server learns of who trained on what, protocol by protocol, on the same records and coins.

Every protocol runs with its defaults on the same seeds: pools, coins, public folds and the adversary's records are the
same. For each seed shadow federations are trained, and each federation is a target with the others as its references,
so that references never shared an average with their target. Finished runs are found again; a stopped one goes on.

    python benchmarks/leakage.py --runs runs/leakage --out reports/leakage.md --workers 1
    python benchmarks/leakage.py --runs runs/leakage --out reports/leakage.md --report-only
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.experiments.run import Plan, execute
from fedprivacy.metrics.intervals import Interval, mean_interval, paired_interval
from fedprivacy.result import Finding, RunResult, from_json

LEVEL = 0.95
METRICS = ("AUC", "TPR@1%FPR")
EQUAL = 0.015
"""Mean test accuracies that differ by less count as equal utility."""


@dataclass(frozen=True)
class Entrant:
    """A protocol with its settings; ``label`` names its rows."""

    label: str
    protocol: str
    options: Mapping[str, Any]
    adversaries: tuple[str, ...] = ("server",)
    rounds: int = 12


BOTH = ("server", "active-server")
ENTRANTS = (
    Entrant("FedAvg", "fedavg", {}),
    Entrant("mutual", "mutual", {}, BOTH),
    Entrant("layer-wise", "layerwise-async", {}),
    Entrant("FML", "fml", {}),
    Entrant("FedKD", "fedkd", {}),
    Entrant("DS-FL", "ds-fl", {}, BOTH),
    Entrant("FedMD", "fedmd", {}, BOTH),
    Entrant("FedProto", "fedproto", {}),
)
FIRST = ENTRANTS[0].label
STOPPED = tuple(Entrant(f"FedAvg, {n} round{'s' * (n > 1)}", "fedavg", {}, rounds=n) for n in (1, 2, 3, 4, 6, 8))
"""FedAvg that stops early: what weights leak at the accuracy of a protocol that learns less."""

TASKS: dict[str, dict[str, Any]] = {
    "mnist5k": {},
    "facemask": {
        "data": {"dataset": "facemask", "image_size": 32},
        "attack": {"surrogate_epochs": 30},
    },
}


def configuration(task: str, entrant: Entrant, seed: int, data_dir: str | None, shadows: int) -> RunConfig:
    """One protocol on one seed; everything but the protocol is the same."""
    settings: dict[str, Any] = {
        "protocol": entrant.protocol,
        "options": dict(entrant.options),
        "rounds": entrant.rounds,
        "seed": seed,
        "data": {"dataset": task, "data_dir": data_dir},
        "attack": {
            "attacks": ("membership",),
            "adversaries": entrant.adversaries,
            "shadows": shadows,
            "targets": "bank",
            "coop": False,
            "statistics": ("ratio", "loss", "lira-online", "lira-offline", "base-online"),
        },
    }
    for name, part in TASKS[task].items():
        settings[name] = {**settings.get(name, {}), **part}
    return build(RunConfig, settings, "leakage")


def run_all(options: argparse.Namespace, seeds: Sequence[int]) -> None:
    """Seed by seed, so that a stopped run leaves whole seeds."""
    for seed in seeds:
        for entrant in (*ENTRANTS, *STOPPED):
            where = place(options.runs, options.task, entrant, seed)
            if not (where / "result.json").exists():
                config = configuration(options.task, entrant, seed, options.data_dir, options.shadows)
                execute(config, Plan(where, options.workers, resume=True, baselines=False))
                print(f"seed {seed}, {entrant.label}: done", flush=True)


def place(runs: Path, task: str, entrant: Entrant, seed: int) -> Path:
    """Run folder of one protocol and seed."""
    stopped = f"-{entrant.rounds}" if entrant in STOPPED else ""
    return runs / task / f"{entrant.protocol}{stopped}-{seed}"


@dataclass(frozen=True, eq=False)
class Row:
    """One protocol and adversary over the seeds: values by metric, and what it costs."""

    label: str
    adversary: str
    observation: str
    values: Mapping[str, list[float]]
    chance: Mapping[str, float]
    accuracy: list[float]
    bytes: float

    @property
    def name(self) -> str:
        """Protocol and position."""
        return f"{self.label}, {self.adversary}"


def rows(runs: Path, task: str, seeds: Sequence[int]) -> Iterator[Row]:
    """The headline over all clients, for every protocol and adversary with a result for every seed."""
    for entrant in (*ENTRANTS, *STOPPED):
        results = [stored(place(runs, task, entrant, seed)) for seed in seeds]
        if any(result is None for result in results):
            continue
        known = [result for result in results if result is not None]
        for adversary in dict.fromkeys(f.adversary for f in known[0].findings):
            found = [[headline(result, adversary, metric) for metric in METRICS] for result in known]
            values = {m: [float(one[i].value or np.nan) for one in found] for i, m in enumerate(METRICS)}
            chance = {m: float(np.mean([one[i].chance or 0.0 for one in found])) for i, m in enumerate(METRICS)}
            yield Row(
                entrant.label,
                adversary,
                found[0][0].observation,
                values,
                chance,
                [result.utility["test_accuracy"].mean for result in known],
                float(np.mean([r.communication.up_bytes + r.communication.down_bytes for r in known])),
            )


def headline(result: RunResult, adversary: str, metric: str) -> Finding:
    """The declared statistic's finding over all clients."""
    return next(
        f
        for f in result.findings
        if f.headline and f.adversary == adversary and f.metric == metric and f.target == "all clients"
    )


def stored(where: Path) -> RunResult | None:
    """The result in a run folder, or None."""
    path = where / "result.json"
    return from_json(json.loads(path.read_text())) if path.exists() else None


def cell(values: Sequence[float], places: int) -> str:
    """Mean over seeds with its interval."""
    return interval(mean_interval(values, LEVEL, (0.0, 1.0)), places)


def interval(found: Interval, places: int, sign: str = "") -> str:
    """``0.571 [0.560, 0.582]``."""
    return f"{found.value:{sign}.{places}f} [{found.low:{sign}.{places}f}, {found.high:{sign}.{places}f}]"


def table(found: Sequence[Row]) -> list[str]:
    """One row a protocol and adversary, differences paired by seed against FedAvg's server."""
    base = next(row for row in found if row.label == FIRST)
    lines = [
        "| protocol | adversary | observes | AUC | AUC minus FedAvg's | TPR at 1% FPR | test accuracy | sent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        gap = (
            interval(paired_interval(row.values["AUC"], base.values["AUC"], LEVEL), 3, "+") if row is not base else "-"
        )
        lines.append(
            f"| {row.label} | {row.adversary} | {row.observation} | {cell(row.values['AUC'], 3)} | {gap} "
            f"| {cell(row.values['TPR@1%FPR'], 4)} | {cell(row.accuracy, 3)} | {row.bytes / 1e6:,.2f} MB |"
        )
    return lines


def sentences(found: Sequence[Row]) -> list[str]:
    """What follows, in words that say no more than the intervals."""
    averages = [row for row in found if row.label.startswith(FIRST)]
    return [sentence(row, averages) for row in found if row not in averages]


def sentence(row: Row, averages: Sequence[Row]) -> str:
    """A protocol against the FedAvg, stopped early or not, whose mean test accuracy is nearest."""
    mean = float(np.mean(row.accuracy))
    equal = min(averages, key=lambda other: abs(float(np.mean(other.accuracy)) - mean))
    leak = paired_interval(row.values["AUC"], equal.values["AUC"], LEVEL)
    if leak.high < 0:
        words = "leaks less than"
    elif leak.low > 0:
        words = "leaks more than"
    else:
        words = "does not measurably differ from"
    own = mean_interval(row.values["AUC"], LEVEL, (0.0, 1.0))
    still = ", and still leaks" if own.low > 0.5 and leak.high < 0 else ""
    gap = mean - float(np.mean(equal.accuracy))
    where = "equal utility" if abs(gap) < EQUAL else f"{100 * gap:+.1f} points of accuracy, the nearest there is"
    return (
        f"- **{row.name}** {words} {equal.label}{still}: AUC {interval(own, 3)}, difference "
        f"{interval(leak, 3, '+')}, at {where} ({mean:.3f} and {np.mean(equal.accuracy):.3f})."
    )


def report(runs: Path, task: str, seeds: Sequence[int]) -> str:
    """One section, as Markdown."""
    found = list(rows(runs, task, seeds))
    some = stored(place(runs, task, ENTRANTS[0], seeds[0]))
    assert some is not None
    config = build(RunConfig, _tuples(dict(some.config)), "stored")
    members = next(f for f in some.findings if f.headline and f.metric == "AUC" and f.target == "all clients")
    federations = config.attack.shadows + 1
    chance = found[0].chance["TPR@1%FPR"]
    return "\n".join(
        [
            f"## {task}",
            "",
            f"{config.clients} clients with {config.data.candidates} candidates each, {config.rounds} rounds of "
            f"{config.training.local_epochs} local epochs, {config.training.model}; public folds of "
            f"{config.data.public_size} records. {len(seeds)} seeds of {federations} federations, each a target with "
            f"the other {federations - 1} as references; {members.n // federations:,} candidates a federation. "
            f"Statistic: ratio, declared before. Intervals: 95%, Student's t over {len(seeds)} seeds; differences are "
            f"paired by seed. Chance: AUC 0.5, TPR {chance:.4f}.",
            "",
            *table(found),
            "",
            "Each against the FedAvg of the nearest test accuracy:",
            "",
            *sentences(found),
            "",
        ]
    )


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tuples(content) for name, content in value.items()}
    return tuple(value) if isinstance(value, list) else value


HEAD = """# What the server learns: membership by protocol

The same records, coins, public folds and adversary's records for every protocol; each with its default settings. An
honest-but-curious server reads what it receives: predictions (it distils a surrogate of each client), weights, memes,
decoded updates or prototypes. An active server plants the candidates in the last public fold and reads the clients'
predictions of them before anybody trains on it. Accuracy is that of the models the protocol is for: each client's own,
or the global one.
"""

TAIL = """Regenerate: `python benchmarks/leakage.py --runs runs/leakage --out reports/leakage.md` (hours on one core; a
stopped run goes on). With `--task facemask --data-dir DIR` for the second part.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--task", choices=sorted(TASKS), default="mnist5k")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shadows", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--report-only", action="store_true", help="use the runs that are there")
    options = parser.parse_args()
    seeds = range(options.seeds)
    if not options.report_only:
        run_all(options, seeds)
    tasks = [task for task in TASKS if stored(place(options.runs, task, ENTRANTS[0], 0)) is not None]
    text = "\n".join([HEAD, *(report(options.runs, task, seeds) for task in tasks), TAIL])
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
