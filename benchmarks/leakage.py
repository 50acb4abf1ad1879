"""What the server learns of who trained on what, protocol by protocol, on the same records and coins.

Every protocol runs with its defaults on the same seeds: pools, coins, public folds and the adversary's records are the
same. For each seed shadow federations are trained, and each federation is a target with the others as its references,
so that references never shared an average with their target. Finished runs are found again; a stopped one goes on.

    python benchmarks/leakage.py --runs runs/leakage --out reports/leakage.md --workers 1
    python benchmarks/leakage.py --runs runs/leakage --out reports/leakage.md --report-only
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from leakage_figure import Point, figure

from fedprivacy import folder
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import Finding, RunResult, from_json
from fedprivacy.metrics.intervals import Interval, corrected_level, mean_interval, paired_interval
from fedprivacy.study.run import Plan, execute

LEVEL = 0.95
STATISTICS = ("ratio", "loss", "lira-online", "lira-offline", "base-online")
DECLARED, SECOND = "ratio", "base-online"
"""The statistic of the verdicts, and the strongest one with references of both kinds in ``setup_f.py``."""
AUC, AUC_SECOND, TPR = ("AUC", DECLARED), ("AUC", SECOND), ("TPR@1%FPR", DECLARED)
Measure = tuple[str, str]
"""Metric and statistic."""


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
PREDICTIONS = ("mutual", "DS-FL", "FedMD")
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
            "statistics": STATISTICS,
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
    """One protocol and adversary over the seeds: values by metric and statistic, and what it costs.

    ``chance`` is that of :data:`TPR`.
    """

    label: str
    adversary: str
    observation: str
    values: Mapping[Measure, list[float]]
    chance: float
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
            found = {m: [over_all(result, adversary, *m) for result in known] for m in (AUC, AUC_SECOND, TPR)}
            yield Row(
                entrant.label,
                adversary,
                found[AUC][0].observation,
                {measure: [float(f.value or np.nan) for f in one] for measure, one in found.items()},
                float(np.mean([f.chance or 0.0 for f in found[TPR]])),
                [result.utility["test_accuracy"].mean for result in known],
                float(np.mean([r.communication.up_bytes + r.communication.down_bytes for r in known])),
            )


def over_all(result: RunResult, adversary: str, metric: str, statistic: str) -> Finding:
    """A statistic's finding over all clients."""
    wanted = (adversary, metric, statistic, "all clients")
    return next(f for f in result.findings if (f.adversary, f.metric, f.statistic, f.target) == wanted)


def finished(runs: Path, task: str, seeds: Sequence[int]) -> list[int]:
    """The seeds for which every protocol has a result."""
    every = (*ENTRANTS, *STOPPED)
    return [seed for seed in seeds if all((place(runs, task, one, seed) / "result.json").exists() for one in every)]


def stored(where: Path) -> RunResult | None:
    """The result in a run folder, or None."""
    path = where / "result.json"
    return from_json(folder.read_json(path)) if path.exists() else None


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
        f"| protocol | adversary | observes | AUC | AUC minus FedAvg's | AUC, {SECOND} | TPR at 1% FPR "
        "| test accuracy | sent |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        gap = interval(paired_interval(row.values[AUC], base.values[AUC], LEVEL), 3, "+") if row is not base else "-"
        lines.append(
            f"| {row.label} | {row.adversary} | {row.observation} | {cell(row.values[AUC], 3)} | {gap} "
            f"| {cell(row.values[AUC_SECOND], 3)} | {cell(row.values[TPR], 4)} | {cell(row.accuracy, 3)} "
            f"| {row.bytes / 1e6:,.2f} MB |"
        )
    return lines


@dataclass(frozen=True)
class Equal:
    """A protocol and the FedAvg, stopped early or not, whose mean test accuracy is nearest; all paired by seed.

    ``level`` is that of each difference: corrected for the number of comparisons on the page's section.
    """

    row: Row
    other: Row
    level: float

    @property
    def active(self) -> bool:
        """Whether the adversary chooses what is asked."""
        return "active" in self.row.adversary

    def leak(self, measure: Measure = AUC) -> Interval:
        """How much more the protocol leaks."""
        return paired_interval(self.row.values[measure], self.other.values[measure], self.level)

    def own(self) -> Interval:
        """The protocol's own AUC over seeds."""
        return mean_interval(self.row.values[AUC], self.level, (0.0, 1.0))

    def words(self) -> str:
        """One line that says no more than the intervals."""
        own, gap = self.own(), paired_interval(self.row.accuracy, self.other.accuracy, LEVEL)
        signs = [sign(self.leak(measure)) for measure in (AUC, AUC_SECOND)]
        relation = {-1: "leaks less than", 0: "does not measurably differ from", 1: "leaks more than"}
        words = f"{relation[signs[0]]} {self.other.label}"
        if signs[1] != signs[0]:
            words += f", by {DECLARED}, and {relation[signs[1]]} it by {SECOND}"
        still = "" if own.low > 0.5 else ", and is not measurably above chance"
        return (
            f"- **{self.row.name}** {words}{still}: AUC {interval(own, 3)}, difference "
            f"{interval(self.leak(), 3, '+')} ({SECOND}: {interval(self.leak(AUC_SECOND), 3, '+')}), at "
            f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points of accuracy."
        )


def sign(difference: Interval) -> int:
    """-1 or 1 where the interval lies on one side of 0, else 0."""
    return int(difference.low > 0) - int(difference.high < 0)


def compared(found: Sequence[Row]) -> list[Equal]:
    """Every protocol beside the FedAvg of nearest accuracy."""
    averages = [row for row in found if row.label.startswith(FIRST)]
    others = [row for row in found if row not in averages]
    level = corrected_level(LEVEL, len(others))
    return [
        Equal(row, min(averages, key=lambda one: abs(float(np.mean(one.accuracy) - np.mean(row.accuracy)))), level)
        for row in others
    ]


def conclusion(pairs: Sequence[Equal]) -> str:
    """What follows for protocols that share predictions, counted over them, by both statistics."""
    told = [pair for pair in pairs if pair.row.label in PREDICTIONS]
    passive, active = [p for p in told if not p.active], [p for p in told if p.active]
    names = ", ".join(dict.fromkeys(pair.row.label for pair in told))
    leaking = sum(pair.own().low > 0.5 for pair in passive)
    return (
        f"**What follows.** Predictions instead of weights ({names}), against a FedAvg of the nearest accuracy. An "
        f"honest-but-curious server learns {counted(passive, AUC)} by the declared statistic, and "
        f"{counted(passive, AUC_SECOND)} by {SECOND}; {leaking} of {len(passive)} leak. A server that may choose the "
        f"public records learns {counted(active, AUC)} by the declared statistic, and {counted(active, AUC_SECOND)} "
        f"by {SECOND}."
    )


def counted(pairs: Sequence[Equal], measure: Measure) -> str:
    """For how many of them the difference has which sign."""
    signs = [sign(pair.leak(measure)) for pair in pairs]
    words = {-1: "less", 1: "more", 0: "neither more nor less that could be measured"}
    parts = [f"{word} for {signs.count(one)} of {len(signs)}" for one, word in words.items() if one in signs]
    return ", ".join(parts)


def drawn(found: Sequence[Row], task: str) -> bytes:
    """Leakage over accuracy: FedAvg as it learns, and every protocol and adversary, as PNG."""
    points = [Point(row.label, "active" in row.adversary, row.accuracy, row.values[AUC]) for row in found]
    averages = [point for point in points if point.label.startswith(FIRST)]
    return figure(averages, [point for point in points if point not in averages], task, LEVEL)


def report(runs: Path, task: str, seeds: Sequence[int]) -> str:
    """One section, as Markdown."""
    found = list(rows(runs, task, seeds))
    some = stored(place(runs, task, ENTRANTS[0], seeds[0]))
    assert some is not None
    config = build(RunConfig, _tuples(dict(some.config)), "stored")
    members = next(f for f in some.findings if f.headline and f.metric == "AUC" and f.target == "all clients")
    federations = config.attack.shadows + 1
    chance = found[0].chance
    pairs = compared(found)
    return "\n".join(
        [
            f"## {task}",
            "",
            f"{config.clients} clients with {config.data.candidates} candidates each, {config.rounds} rounds of "
            f"{config.training.local_epochs} local epochs, {config.training.model}; public folds of "
            f"{config.data.public_size} records. {len(seeds)} seeds of {federations} federations, each a target with "
            f"the other {federations - 1} as references; {members.n // federations:,} candidates a federation. "
            f"A surrogate is distilled in {config.attack.surrogate_epochs} passes. Statistic: {DECLARED}, declared "
            f"before, unless another is named. Intervals: 95%, Student's t over {len(seeds)} seeds; differences are "
            "paired by seed. "
            f"Chance: AUC 0.5, TPR {chance:.4f}.",
            "",
            *table(found),
            "",
            f"![{task}: leakage over accuracy](figures/leakage_{task}.png)",
            "",
            "Each against the FedAvg of the nearest mean test accuracy. The intervals of AUC and of its differences "
            f"hold together for all {len(pairs)} lines at 95% (Bonferroni), a statistic at a time; those of accuracy "
            "are single ones.",
            "",
            *(pair.words() for pair in pairs),
            "",
            conclusion(pairs),
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
or the global one. FedAvg also stops early, so that each protocol can be held against weights of the same accuracy.
A second statistic shows how far the answer depends on the first: BASE with references of both kinds.

An active server of FedAvg was not tried: it could send weights of its choice, and would learn more than is shown.
"""

TAIL = """Regenerate: `python benchmarks/leakage.py --runs runs/leakage --seeds 6 --out reports/leakage.md` (25
CPU-minutes; a stopped run goes on). With `--task facemask --data-dir DIR --seeds 5` for the second part (34).
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
    known = {task: finished(options.runs, task, seeds) for task in TASKS}
    known = {task: whole for task, whole in known.items() if len(whole) > 1}
    text = "\n".join([HEAD, *(report(options.runs, task, whole) for task, whole in known.items()), TAIL])
    print(text)
    if options.out:
        options.out.write_text(text)
        for task, whole in known.items():
            path = options.out.parent / "figures" / f"leakage_{task}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(drawn(list(rows(options.runs, task, whole)), task))


if __name__ == "__main__":
    main()
