"""One configuration from start to result: jobs, observations, scores, findings, verdicts, run folder."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import __version__, folder, parts
from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.inversion import InversionConfig
from fedprivacy.config.named import named
from fedprivacy.config.run import RunConfig
from fedprivacy.execution.pool import Job, run_jobs
from fedprivacy.judge import verdicts
from fedprivacy.judge.result import (
    Baseline,
    Communication,
    Finding,
    Interval,
    PrivacyClaim,
    Provenance,
    RunResult,
    Verdict,
)
from fedprivacy.metrics.intervals import Interval as Estimate
from fedprivacy.metrics.intervals import mean_interval, paired_interval
from fedprivacy.privacy import event_from_json
from fedprivacy.privacy.accountant import claim
from fedprivacy.study import room, stored
from fedprivacy.study.documents import write_documents
from fedprivacy.study.estimate import announced
from fedprivacy.study.inversion.findings import inversion_findings
from fedprivacy.study.inversion.invert import UNITS
from fedprivacy.study.job import dataset_of, environment, game
from fedprivacy.study.label_inference import label_findings
from fedprivacy.study.membership.findings import membership
from fedprivacy.study.membership.stacked import stacked
from fedprivacy.study.observe import stacks_alone
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolve import Yardstick, resolve
from fedprivacy.study.stolen import theft_findings
from fedprivacy.study.traps import check_room
from fedprivacy.study.versions import versions

VERSIONED = ("fedprivacy", "torch", "torchvision", "numpy", "scipy", "opacus", "dp-accounting", "safetensors")


@dataclass(frozen=True)
class Plan:
    """How a run is carried out. Apart from the device, whose sums round differently, none of it changes a number."""

    where: Path
    workers: int = 1
    resume: bool = False
    device: str = "cpu"
    baselines: bool = True
    tick: Callable[[str, int], None] = lambda name, done: None
    started: Callable[[Sequence[Job]], None] = lambda jobs: None
    told: Callable[[str], None] = lambda words: None
    """Called with one line on the shadow federations before they start."""
    after: str = stored.BY_RUN
    """How the run came about, where not by training."""


def execute(config: RunConfig, plan: Plan, notes: Sequence[str] = ()) -> RunResult:
    """Run everything that ``config`` asks for and write the run folder. Going on where an earlier one stopped.

    ``notes`` are printed with the provenance.
    """
    study = resolve(config)
    start = time.perf_counter()
    protocol = study.protocol()
    roots = [config.seed + i for i in range(config.seeds)]
    told = ""
    for root in roots:
        env, played = environment(config, root, None)
        if "membership" in config.attack.attacks and len(set(played.flat_coins.tolist())) < 2:
            raise UsageError(
                f"all {len(played.flat_coins)} coins of seed {root} fell on one side, so there is nothing to tell "
                "apart: raise --candidates, or take another --seed."
            )
        for architecture in sorted(set(map(env.architecture, range(env.clients)))):
            env.workbench.module(architecture)
        check_room(config, env)
        protocol.check(env)
        study.defense(env)
        told = told or room.announced(config, env, plan.where, plan.workers)
    if told:
        plan.told(told)
    _open(config, plan)
    compared = study.baselines if plan.baselines else {}
    jobs = _jobs(config, plan, roots, compared)
    if config.attack.shadows:
        plan.told(announced(config, environment(config, config.seed, None)[0], jobs, plan.workers))
    plan.started(jobs)
    summaries: dict[str, Mapping[str, Any]] = {}
    for job, summary in run_jobs(jobs, plan.workers, config.training.threads, plan.tick):
        summaries[job.name] = summary
    repetitions = [_repetition(config, plan, root, summaries, compared) for root in roots]
    cpu = sum(float(summary["cost"]["cpu_seconds"]) for summary in summaries.values())
    result = assembled(config, plan, repetitions, time.perf_counter() - start, cpu)
    if notes:
        known = result.provenance
        result = replace(result, provenance=replace(known, notes=(*known.notes, *notes)))
    write_documents(result, plan.where)
    folder.write_json(plan.where / stored.RESULT, result.to_json())
    return result


def _open(config: RunConfig, plan: Plan) -> None:
    if stored.is_run(plan.where) and not plan.resume:
        raise UsageError(f"{plan.where} holds a run already: add --resume to go on with it, or --fresh to start over.")
    data = dataset_of(config.data.model_dump_json()).digest
    stored.begin(
        plan.where, config, stored.Identity.of_run(config, data, plan.device, plan.baselines, after=plan.after)
    )


def _jobs(config: RunConfig, plan: Plan, roots: Sequence[int], compared: Mapping[str, Yardstick]) -> list[Job]:
    jobs = []
    for root in roots:
        jobs.append(_job(config, plan, f"seed {root}", root, None, _place(config, plan, root)))
        for shadow in range(config.attack.shadows):
            place = bank(config, plan, root) / f"federation-{shadow:04d}"
            jobs.append(_job(config, plan, f"seed {root}, shadow {shadow}", root, shadow, place))
        for name, yardstick in compared.items():
            place = plan.where / "baselines" / f"{name.replace(' ', '')}-{root}"
            jobs.append(_job(yardstick.config, plan, f"seed {root}, {name}", root, None, place))
    return jobs


def _job(config: RunConfig, plan: Plan, name: str, root: int, shadow: int | None, place: Path) -> Job:
    arguments = {
        "config": config.model_dump_json(),
        "root": root,
        "shadow": shadow,
        "where": str(place),
        "device": plan.device,
    }
    units = config.rounds
    if shadow is None and "inversion" in config.attack.attacks:
        units += UNITS * len(resolve(config).inversion_seats)
    return Job(name, "fedprivacy.study.job:federate", arguments, units)


def _place(config: RunConfig, plan: Plan, root: int) -> Path:
    return plan.where if root == config.seed else plan.where / "seeds" / str(root)


def bank(config: RunConfig, plan: Plan, root: int) -> Path:
    """Folder of the shadow bank: named by what decides a shadow's content, so that it is found again and extended."""
    attack = config.attack.model_copy(
        update={
            "attacks": ("membership",),
            "shadows": 0,
            "targets": "auto",
            "statistics": (STACK,) if stacks_alone(config) else (),
            "headline": None,
            "coop": True,
            "level": 0.95,
            "budget": None,
            "effort": config.attack.effort if stacks_alone(config) else "default",
            "inversion": InversionConfig(),
        }
    )
    key = config.model_copy(update={"attack": attack, "seed": root, "seeds": 1}).digest()
    data = dataset_of(config.data.model_dump_json()).digest[:8]
    words = (key, parts.fingerprint(named(config)), data, plan.device.replace(":", ""), __version__)
    return plan.where.parent / "bank" / "-".join(filter(None, words))


def _repetition(
    config: RunConfig,
    plan: Plan,
    root: int,
    summaries: Mapping[str, Mapping[str, Any]],
    compared: Mapping[str, Yardstick],
) -> Repetition:
    shadows = tuple(bank(config, plan, root) / f"federation-{s:04d}" for s in range(config.attack.shadows))
    return Repetition(
        root,
        game(config, root, None),
        summaries[f"seed {root}"],
        _place(config, plan, root),
        shadows,
        {name: summaries[f"seed {root}, {name}"] for name in compared},
    )


def assembled(config: RunConfig, plan: Plan, repetitions: Sequence[Repetition], wall: float, cpu: float) -> RunResult:
    """Findings and verdicts from what the jobs left on disk."""
    study = resolve(config)
    wire = study.wire
    findings: list[Finding] = []
    known = granted(config, wire)
    for adversary, name in resolve(config).observations:
        findings += [replace(f, knowledge=known) for f in membership(config, repetitions, adversary, name)]
    for adversary, names in _by_adversary(config).items():
        findings += [replace(f, knowledge=known) for f in stacked(config, repetitions, adversary, names)]
    if "labels" in config.attack.attacks:
        findings += label_findings(config, repetitions)
    if "theft" in config.attack.attacks:
        findings += theft_findings(config, repetitions)
    cards: dict[str, dict[str, str]] = {}
    if "inversion" in config.attack.attacks:
        reconstructed, cards = inversion_findings(config, repetitions)
        findings += reconstructed
    level = config.attack.level
    utility = _utility([r.summary["utility"] for r in repetitions], level)
    compared = study.baselines if repetitions[0].baselines else {}
    baselines, paired = [], {}
    for name, yardstick in compared.items():
        others = [r.baselines[name] for r in repetitions]
        up, down = _directions(others)
        baselines.append(Baseline(name, yardstick.why, _utility([o["utility"] for o in others], level), up, down))
        gap = _paired(repetitions, others, level)
        if gap is not None:
            paired[name] = gap
    sizes = _communication(config, repetitions)
    judged: list[Verdict] = verdicts.leakage(findings, wire.what_is_sent, "the claim that is tested")
    judged += verdicts.labels(findings, wire.what_is_sent, "the claim that is tested")
    judged += verdicts.theft(findings, wire.what_is_sent, "the claim that is tested")
    judged += verdicts.inversion(findings, wire.what_is_sent, "the claim that is tested")
    if utility:
        judged += verdicts.utility(config.protocol, utility["test_accuracy"], baselines, paired)
    judged += verdicts.bandwidth(
        config.protocol, sizes, wire.averages_whole_models or len(wire.federation.architectures) > 1
    )
    return RunResult(
        config=config.model_dump(mode="json"),
        utility=utility,
        baselines=tuple(baselines),
        communication=sizes,
        privacy=_claim(config, repetitions[0].summary),
        findings=tuple(findings),
        verdicts=tuple(judged),
        cards=cards,
        provenance=Provenance(
            versions=versions(VERSIONED),
            seed=config.seed,
            seeds=config.seeds,
            host_cores=os.cpu_count() or 1,
            workers=plan.workers,
            wall_seconds=round(wall, 2),
            cpu_seconds=round(cpu, 2),
            data_digest=repetitions[0].summary["data_digest"],
            notes=tuple(repetitions[0].summary["notes"]),
        ),
    )


def _by_adversary(config: RunConfig) -> dict[Adversary, list[str]]:
    """The observations of each adversary."""
    found: dict[Adversary, list[str]] = {}
    for adversary, name in resolve(config).observations:
        found.setdefault(adversary, []).append(name)
    return found


Utilities = Sequence[Mapping[str, Mapping[str, float]]]


def _utility(utilities: Utilities, level: float) -> dict[str, Interval]:
    """Every metric of the tested models, by name; ``test_accuracy`` first. None where no model is known."""
    if not all(utilities):
        return {}
    names = next(iter(utilities[0].values()))
    found = {f"test_{name}": _interval(utilities, name, level) for name in names}
    if "server" in utilities[0] and "server" not in _counted(utilities[0]):
        alone = [{"server": utility["server"]} for utility in utilities]
        found["server_test_accuracy"] = _interval(alone, "accuracy", level)
    return found


def _interval(utilities: Utilities, metric: str, level: float) -> Interval:
    """Mean over the clients' models (one seed) or over seeds; a single number has no interval but itself.

    A server's model beside the clients' is shown with them and counted in nothing.
    """
    counted = _counted(utilities[0])
    means = [float(np.mean([utility[name][metric] for name in counted])) for utility in utilities]
    per_client = {name: float(np.mean([u[name][metric] for u in utilities])) for name in counted}
    values, over = (means, "seeds") if len(means) > 1 else (list(per_client.values()), "clients")
    per_seed = tuple(means) if len(means) > 1 else ()
    if len(values) == 1:
        return Interval(values[0], values[0], values[0], per_client, 1, "one model")
    estimate = mean_interval(values, level, (0.0, math.inf) if metric == "loss" else (0.0, 1.0))
    return Interval(estimate.value, estimate.low, estimate.high, per_client, len(values), over, per_seed)


def _counted(utility: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The models that utility is a mean of: the clients' where they have their own, else the one model."""
    return [name for name in utility if name.startswith("client-")] or list(utility)


def _paired(repetitions: Sequence[Repetition], others: Sequence[Mapping[str, Any]], level: float) -> Estimate | None:
    own = [[u[name]["accuracy"] for name in _counted(u)] for u in (r.summary["utility"] for r in repetitions)]
    theirs = [[u[name]["accuracy"] for name in _counted(u)] for u in (o["utility"] for o in others)]
    if len(own) > 1:
        return paired_interval([np.mean(a) for a in own], [np.mean(b) for b in theirs], level)
    if len(own[0]) < 2 or len(own[0]) != len(theirs[0]):
        return None
    return paired_interval(own[0], theirs[0], level)


def _directions(summaries: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    up = np.mean([sum(u for u, _ in s["per_round"]) for s in summaries])
    down = np.mean([sum(d for _, d in s["per_round"]) for s in summaries])
    return round(float(up)), round(float(down))


def _communication(config: RunConfig, repetitions: Sequence[Repetition]) -> Communication:
    summaries = [r.summary for r in repetitions]
    up, down = _directions(summaries)
    rounds = np.mean([s["per_round"] for s in summaries], axis=0).round().astype(int)
    return Communication(
        up_bytes=up,
        down_bytes=down,
        public_bytes=round(float(np.mean([s["public_bytes"] for s in summaries]))),
        payload_bytes=round(float(np.mean([s["payload_bytes"] for s in summaries]))),
        fedavg_bytes=_fedavg_bytes(config, summaries),
        start_bytes=round(float(np.mean([s["start_bytes"] for s in summaries]))),
        per_round=tuple((int(a), int(b)) for a, b in rounds),
    )


def _fedavg_bytes(config: RunConfig, summaries: Sequence[Mapping[str, Any]]) -> int:
    """What federated averaging of the same models sends: uploads of the senders, the model to the participants."""
    messages = [sum(s["senders"]) + FederationSettings.of(config).together * config.rounds for s in summaries]
    return round(float(np.mean([n * s["model_bytes"] for n, s in zip(messages, summaries, strict=True)])))


def _claim(config: RunConfig, summary: Mapping[str, Any]) -> PrivacyClaim:
    events = [event_from_json(event) for event in summary["events"]]
    return PrivacyClaim.of(claim(events, config.defense.delta, records=summary["records"]))
