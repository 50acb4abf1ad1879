"""The runs of the page: every protocol from every seat, and averaging stopped at the accuracy of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedprivacy.adversary.position import seat
from fedprivacy.attacks.membership.headline import asked_for, declared
from fedprivacy.config.base import Interrupted, UsageError, build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.comparison import standings
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.metrics.intervals import Interval
from fedprivacy.study import recipes
from fedprivacy.study.every import every_seat, would_attack
from fedprivacy.study.runner import STOPS, Runner, at_one_threshold

PROTOCOLS: tuple[str, ...] = tuple(recipes.table("leakage")["protocols"])
"""Those of the page, in its order."""

FIRST = PROTOCOLS[0]
"""The protocol that the others are held against."""

METRICS = ("AUC", "TPR@1%FPR", "TPR@0.1%FPR")

SHARES = (1.0,)
"""Shares of each client's pool that the adversary knows."""


@dataclass(frozen=True, eq=False)
class Row:
    """One protocol from one seat with one knowledge: headline findings by metric, a list over its seeds."""

    protocol: str
    rounds: int
    seat: str
    share: float
    knowledge: str
    found: Mapping[str, Sequence[Finding]]
    accuracy: tuple[float, ...]
    bytes: float
    together: Mapping[str, Finding] = field(default_factory=dict)
    """By metric, what all seeds give at one threshold where a seed alone has too few non-members."""

    @property
    def name(self) -> str:
        """The protocol, with the rounds after which averaging stopped."""
        return self.protocol if self.protocol != FIRST else f"{FIRST}, {self.rounds} round{'s' * (self.rounds > 1)}"

    def values(self, metric: str = "AUC") -> tuple[float, ...]:
        """By seed; empty where some seed gave no number."""
        read = [f.value for f in self.found.get(metric, ())]
        known = tuple(value for value in read if value is not None)
        return known if len(known) == len(self.accuracy) else ()

    def pooled(self, metric: str) -> Interval | None:
        """What all seeds give at one threshold, where no seed alone gives a number and all together do."""
        return None if self.values(metric) else at_one_threshold(self.together.get(metric))

    @property
    def cause(self) -> str:
        """Why there is no number."""
        found = self.found.get("AUC", ())
        few = f"{len(found)} of {len(self.accuracy)} seeds were attacked on these terms"
        return next((f.note for f in found if f.value is None), few if len(found) < len(self.accuracy) else "")


@dataclass(frozen=True, eq=False)
class Measured:
    """Rows by seat, and the averaging that each protocol is held against, in rounds."""

    rows: tuple[Row, ...]
    nearest: Mapping[str, int]
    refused: tuple[str, ...]
    base: RunConfig
    seeds: int
    cpu_seconds: float

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the pool known, rising."""
        return tuple(sorted({row.share for row in self.rows}))

    @property
    def best_known(self) -> tuple[Row, ...]:
        """The rows of the adversaries that know most of the pool."""
        return tuple(row for row in self.rows if row.share == self.shares[-1])

    def rival(self, row: Row) -> Row | None:
        """Averaging of nearest accuracy, seen from the same seat with the same knowledge."""
        wanted = (FIRST, self.nearest.get(row.protocol), row.seat, row.share, row.knowledge)
        if row.protocol == FIRST:
            return None
        return next((r for r in self.rows if (r.protocol, r.rounds, r.seat, r.share, r.knowledge) == wanted), None)


def measure(
    base: RunConfig, protocols: Sequence[str], seeds: int, runner: Runner, shares: Sequence[float] = SHARES
) -> Measured:
    """Train each protocol, stop averaging at the accuracy of each, and attack every one from every seat.

    ``shares`` of each client's pool are known, each in an attack of its own on the same federations. UsageError before
    any training where averaging could not be attacked so.
    """
    for share in shares:
        attacked(trained(base, FIRST, base.seed, base.rounds), base, share)
    roots, cost = range(base.seed, base.seed + seeds), 0.0
    refused: list[str] = []

    def ran(protocol: str, rounds: int) -> list[tuple[RunResult, Path, RunConfig]]:
        nonlocal cost
        made = []
        for root in roots:
            config = trained(base, protocol, root, rounds)
            result, place = runner.train(config)
            cost += result.provenance.cpu_seconds
            made.append((result, place, config))
        return made

    def rows(protocol: str, rounds: int, runs: Sequence[tuple[RunResult, Path, RunConfig]]) -> list[Row]:
        nonlocal cost
        made = []
        for share in shares:
            configs = [attacked(config, base, share) for _, _, config in runs]
            results = [runner.attack(config, place) for config, (_, place, _) in zip(configs, runs, strict=True)]
            cost += sum(result.provenance.cpu_seconds for result in results)
            together = {
                seat(who): heads for who, heads in runner.together(list(zip(configs, results, strict=True))).items()
            }
            made += _rows(protocol, rounds, share, [result for result, _, _ in runs], results, together)
        return made

    stops = [rounds for rounds in STOPS if rounds <= base.rounds]
    averaged = {rounds: ran(FIRST, rounds) for rounds in stops}
    accuracies = {rounds: float(np.mean(_accuracy([r for r, _, _ in runs]))) for rounds, runs in averaged.items()}
    found: list[Row] = []
    nearest: dict[str, int] = {}
    for protocol in protocols:
        if protocol == FIRST:
            continue
        try:
            runs = ran(protocol, base.rounds)
            found += rows(protocol, base.rounds, runs)
        except Interrupted:
            raise
        except UsageError as error:
            refused.append(f"{protocol}: {error}")
            continue
        own = float(np.mean(_accuracy([r for r, _, _ in runs])))
        nearest[protocol] = min(stops, key=lambda rounds: abs(accuracies[rounds] - own))
    for rounds in sorted({*nearest.values(), stops[-1]}):
        found += rows(FIRST, rounds, averaged[rounds])
    return Measured(tuple(found), nearest, tuple(refused), base, seeds, cost)


def trained(base: RunConfig, protocol: str, root: int, rounds: int) -> RunConfig:
    """A protocol with its defaults on one seed, without an attack."""
    content = base.model_dump(mode="json")
    content |= {"protocol": protocol, "options": {}, "rounds": rounds, "seed": root, "seeds": 1, "attack": {}}
    return build(RunConfig, content, f"leakage, {protocol}")


def attacked(config: RunConfig, base: RunConfig, share: float) -> RunConfig:
    """The same federation read from every seat, each by the observation that carries its headline alone, by
    adversaries that know ``share`` of each pool."""
    whole = base.attack.model_copy(update={"attacks": ("membership",), "adversaries": (), "known_share": share})
    config = config.model_copy(update={"attack": whole})
    seats = every_seat(config)
    config = config.model_copy(update={"attack": whole.model_copy(update={"adversaries": seats})})
    theirs: dict[str, list[str]] = {}
    for adversary, name in would_attack(config).observations:
        theirs.setdefault(adversary.name, []).append(name)
    carried = dict.fromkeys(filter(None, (declared(names, asked_for(whole)) for names in theirs.values())))
    update = {"adversaries": seats, "observations": tuple(carried)}
    return config.model_copy(update={"attack": whole.model_copy(update=update)})


def _accuracy(results: Sequence[RunResult]) -> tuple[float, ...]:
    return tuple(result.utility["test_accuracy"].mean for result in results)


def _rows(
    protocol: str,
    rounds: int,
    share: float,
    plain: Sequence[RunResult],
    results: Sequence[RunResult],
    together: Mapping[str, Mapping[str, Finding]],
) -> list[Row]:
    by_terms: dict[tuple[str, str], list[Mapping[str, Finding]]] = {}
    for result in results:
        for one in standings(result, protocol):
            by_terms.setdefault((one.seat, one.knowledge), []).append(one.headline)
    wire = [result.communication for result in plain]
    sent = float(np.mean([one.up_bytes + one.down_bytes for one in wire]))
    made = []
    for (place, knowledge), found in by_terms.items():
        metrics = {name: [heads[name] for heads in found if name in heads] for name in METRICS}
        pooled = together.get(place, {}) if len(found) == len(results) else {}
        made.append(Row(protocol, rounds, place, share, knowledge, metrics, _accuracy(plain), sent, pooled))
    return made


SEATS = ("passive server", "active server", "passive peer", "eavesdropper")


def order(row: Row) -> tuple[int, int]:
    """Seats in a fixed order; averaging last within a seat."""
    return SEATS.index(row.seat) if row.seat in SEATS else len(SEATS), row.protocol == FIRST
