"""One configuration from start to result: jobs, then findings and verdicts, then the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedprivacy import __version__, folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.execution.job import Job
from fedprivacy.execution.run import at_a_time, run_jobs
from fedprivacy.judge.result import RunResult
from fedprivacy.study import contents, room, stored, variants
from fedprivacy.study.abreast import at_once
from fedprivacy.study.assembled import assembled
from fedprivacy.study.estimate import announced
from fedprivacy.study.inversion.invert import UNITS
from fedprivacy.study.job import SUMMARY
from fedprivacy.study.look import apart, left
from fedprivacy.study.observe import share_alike
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolve import remember, resolve
from fedprivacy.study.resolved import Study, Yardstick
from fedprivacy.study.traps import check_room


@dataclass(frozen=True)
class Plan:
    """How a run is carried out. Apart from the device and ``exact``, which round otherwise, it changes no number."""

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
    exact: bool = False
    """One shadow federation after the other, where several at once would be faster and round sums otherwise."""


def execute(config: RunConfig, plan: Plan, notes: Sequence[str] = ()) -> RunResult:
    """Run everything that ``config`` asks for and write the run folder. Going on where an earlier one stopped.

    ``notes`` are printed with the provenance.
    """
    return carried_out(resolve(config), plan, notes)


def carried_out(study: Study, plan: Plan, notes: Sequence[str] = ()) -> RunResult:
    """The same for a study."""
    start = time.perf_counter()
    _check(study, plan)
    _open(study, plan)
    remember(study)
    plan = replace(plan, workers=at_a_time(plan.workers, study.federation.training.threads))
    compared = study.baselines if plan.baselines else {}
    jobs = _jobs(study, plan, compared)
    if study.attack.shadows:
        places = [place for root in study.roots for place in shadow_places(study, plan, root)]
        plan.told(announced(study, study.environment(study.roots[0])[0], places, plan.workers))
    plan.started(jobs)
    summaries: dict[str, Mapping[str, Any]] = {}
    for job, summary in run_jobs(jobs, plan.workers, study.federation.training.threads, plan.tick):
        summaries[job.name] = summary
    summaries |= _looked_at(study, plan, summaries)
    repetitions = [_repetition(study, plan, root, summaries, compared) for root in study.roots]
    cpu = sum(float(summary["cost"]["cpu_seconds"]) for summary in summaries.values())
    result = assembled(study, repetitions, plan.workers, time.perf_counter() - start, cpu, notes)
    contents.note(plan.where)
    folder.write_json(plan.where / stored.RESULT, result.to_json())
    return result


def _check(study: Study, plan: Plan) -> None:
    """Raise UsageError where the records, the models or this machine do not allow the run."""
    told = ""
    for root in study.roots:
        env, played = study.environment(root)
        if "membership" in study.attack.attacks and len(set(played.flat_coins.tolist())) < 2:
            raise UsageError(
                f"all {len(played.flat_coins)} coins of seed {root} fell on one side, so there is nothing to tell "
                "apart: raise --candidates, or take another --seed."
            )
        for architecture in sorted(set(map(env.architecture, range(env.clients)))):
            env.workbench.module(architecture)
        check_room(study, env)
        study.protocol.check(env)
        study.defense(env)
        told = told or room.announced(study, env, plan.where, plan.workers)
    if told:
        plan.told(told)


def _open(study: Study, plan: Plan) -> None:
    if stored.is_run(plan.where) and not plan.resume:
        raise UsageError(f"{plan.where} holds a run already: add --resume to go on with it, or --fresh to start over.")
    told = plan.baselines, plan.after, plan.exact
    identity = stored.Identity.of_run(study.config, study.dataset.digest, plan.device, *told)
    stored.begin(plan.where, study.config, identity)


def _jobs(study: Study, plan: Plan, compared: Mapping[str, Yardstick]) -> list[Job]:
    jobs, rounds = [], study.federation.rounds
    side_by_side = apart(study, plan.workers, plan.device)
    for root in study.roots:
        units = rounds + UNITS * len(study.seats.inversion)
        target = _job(study.config, plan, f"seed {root}", root, None, study.place(plan.where, root), units)
        jobs.append(replace(target, arguments={**target.arguments, "looks": not side_by_side}))
        jobs += _shadow_jobs(study, plan, root)
        for name, yardstick in compared.items():
            place = plan.where / "baselines" / f"{name.replace(' ', '')}-{root}"
            jobs.append(_job(yardstick.config, plan, f"seed {root}, {name}", root, None, place, rounds))
    return jobs


def _looked_at(study: Study, plan: Plan, summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Let adversaries look that did not in the job of their federation; the summaries with that cost."""
    jobs = {root: left(study, plan.where, root, plan.device) for root in study.roots}
    of_job = {job.name: root for root, own in jobs.items() for job in own}
    found = {root: dict(summaries[f"seed {root}"]) for root in study.roots}
    every = [job for own in jobs.values() for job in own]
    for job, cost in run_jobs(every, plan.workers, study.federation.training.threads, lambda name, done: None):
        summary = found[of_job[job.name]]
        before = summary["cost"]
        seconds, memory = before["cpu_seconds"] + cost["cpu_seconds"], max(before["memory_mb"], cost["memory_mb"])
        summary["cost"] = {"cpu_seconds": round(seconds, 2), "memory_mb": memory}
        folder.write_json(study.place(plan.where, of_job[job.name]) / SUMMARY, summary)
    for root in study.roots:
        share_alike(study, study.place(plan.where, root))
    return {f"seed {root}": summary for root, summary in found.items()}


def _shadow_jobs(study: Study, plan: Plan, root: int) -> list[Job]:
    """Those that are found in the bank, and the others one by one or, where that pays, several at once."""
    rounds, places = study.federation.rounds, shadow_places(study, plan, root)
    missing = [shadow for shadow, place in enumerate(places) if not (place / SUMMARY).exists()]
    several = 0
    if missing and not plan.exact:
        several = at_once(study, study.environment(root)[0], len(missing), plan.workers)
    alone = [shadow for shadow in range(len(places)) if not several or shadow not in missing]
    jobs = [
        _job(study.config, plan, f"seed {root}, shadow {shadow}", root, shadow, places[shadow], rounds)
        for shadow in alone
    ]
    for start in range(0, len(missing) if several else 0, several or 1):
        some = missing[start : start + several]
        arguments = {
            "config": study.config.model_dump_json(),
            "root": root,
            "shadows": some,
            "places": [str(places[shadow]) for shadow in some],
            "device": plan.device,
        }
        name = f"seed {root}, shadows {', '.join(map(str, some))}"
        jobs.append(Job(name, "fedprivacy.study.abreast:federate_abreast", arguments, rounds * len(some)))
    return jobs


def shadow_places(study: Study, plan: Plan, root: int) -> tuple[Path, ...]:
    """Folder of each shadow federation."""
    return tuple(bank(study, plan, root) / f"federation-{shadow:04d}" for shadow in range(study.attack.shadows))


def _job(config: RunConfig, plan: Plan, name: str, root: int, shadow: int | None, place: Path, units: int) -> Job:
    arguments = {
        "config": config.model_dump_json(),
        "root": root,
        "shadow": shadow,
        "where": str(place),
        "device": plan.device,
    }
    return Job(name, "fedprivacy.study.job:federate", arguments, units)


def bank(study: Study, plan: Plan, root: int) -> Path:
    """Folder of the shadow bank: named by what decides a shadow's content, so that it is found again and extended."""
    key = variants.shadows_of(study.config, root).digest()
    kind = "exact" if plan.exact else ""
    words = (key, study.code, study.dataset.digest[:8], plan.device.replace(":", ""), kind, __version__)
    return plan.where.parent / "bank" / "-".join(filter(None, words))


def _repetition(
    study: Study,
    plan: Plan,
    root: int,
    summaries: Mapping[str, Mapping[str, Any]],
    compared: Mapping[str, Yardstick],
) -> Repetition:
    return Repetition(
        root,
        study.game(root),
        summaries[f"seed {root}"],
        study.place(plan.where, root),
        shadow_places(study, plan, root),
        {name: summaries[f"seed {root}, {name}"] for name in compared},
    )
