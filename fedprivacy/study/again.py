"""A stored run attacked again: its transcripts and checkpoints are copied, so that only the attack is new work."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.federation.checkpoints import last_round
from fedprivacy.judge.result import RunResult
from fedprivacy.study import stored
from fedprivacy.study.job import SUMMARY
from fedprivacy.study.resolved import Study
from fedprivacy.study.run import Plan, carried_out

LOOKED_AT = ("observed", "scores", "active", "probes", "traps")
"""Folders of a federation that an attack made, which another attack makes anew."""

KEPT = ("checkpoint", "transcript", "federation.json", "seeds", "baselines")


def after(run: Path) -> str:
    """How a folder came about that :func:`attack_again` made from the stored ``run``."""
    return f"by `attack` on a run of settings {stored.read_identity(run).settings}"


def identity(study: Study, run: Path, device: str, exact: bool = False) -> stored.Identity:
    """That of the folder which :func:`attack_again` makes."""
    data = study.dataset.digest
    return stored.Identity.of_run(study.config, data, device, (run / "baselines").exists(), after(run), exact)


def check(study: Study, run: Path) -> None:
    """Raise UsageError where ``run`` cannot be attacked without training, or is of other data or another version."""
    stored.same_version(run)
    stored.same_data(run, study.dataset.digest)
    rounds = study.federation.rounds
    for root in study.roots:
        place = study.place(run, root)
        found = last_round(place / "checkpoint")
        if found != rounds or not (place / "transcript" / "log.jsonl").exists():
            reached = "no checkpoint" if found is None else f"its last checkpoint after round {found}"
            raise UsageError(
                f"{run}: seed {root} has {reached} of {rounds} rounds, and attacking again trains nothing; "
                "run it again with --fresh."
            )
    for place in (run / "baselines").glob("*"):
        if place.is_dir() and not (place / SUMMARY).exists():
            raise UsageError(f"{run}: baseline {place.name} has no {SUMMARY}; run it again with --fresh.")


def attack_again(study: Study, run: Path, plan: Plan, note: str | None = None) -> RunResult:
    """Carry out ``study``, which differs from the stored ``run`` in its attack alone, by ``plan``, in a new folder.

    Whole rounds in the checkpoints are taken up, so nothing of the target is trained again; shadow federations come
    from the bank where their observations are the same. An attack that was stopped goes on seed by seed. ``note``
    stands in the provenance, in the place of a warning that the headline was chosen after the run.
    """
    check(study, run)
    stored.begin(plan.where, study.config, identity(study, run, plan.device, plan.exact))
    for part in KEPT:
        if (run / part).exists() and not (plan.where / part).exists():
            _copied(run / part, plan.where / part)
    late = f"attacked again after the run in {run.name}: a headline chosen now was not declared before that run"
    baselines = (run / "baselines").exists()
    return carried_out(
        study, replace(plan, resume=True, baselines=baselines, after=after(run)), (late if note is None else note,)
    )


def _copied(source: Path, target: Path) -> None:
    """Copy a part of a run under another name first, so that what stands under its own is whole."""
    if not source.is_dir():
        folder.write_bytes(target, source.read_bytes())
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*LOOKED_AT))
        if source.name == "seeds":
            for summary in partial.glob(f"*/{SUMMARY}"):
                summary.unlink()
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
