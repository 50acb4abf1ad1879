"""A stored run attacked again: its transcripts and checkpoints are copied, so that only the attack is new work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fedprivacy.config.run import RunConfig
from fedprivacy.execution.pool import Job
from fedprivacy.judge.result import RunResult
from fedprivacy.study.run import Plan, execute

KEPT = ("checkpoint", "transcript", "seeds", "baselines")


def attack_again(
    config: RunConfig,
    stored: Path,
    where: Path,
    device: str,
    tick: Callable[[str, int], None],
    started: Callable[[Sequence[Job]], None],
    told: Callable[[str], None] = lambda words: None,
) -> RunResult:
    """Run ``config``, which differs from the stored run in its attack alone, in the new folder ``where``.

    Whole rounds in the checkpoints are taken up, so no training of the target is done again; shadow federations
    come from the bank where their observations are the same.
    """
    if where.resolve() != stored.resolve():
        shutil.rmtree(where, ignore_errors=True)
        for part in KEPT:
            if (stored / part).exists():
                shutil.copytree(stored / part, where / part, ignore=shutil.ignore_patterns("observed", "scores"))
        for summary in (where / "seeds").glob("*/summary.json"):
            summary.unlink()
    plan = Plan(
        where,
        device=device,
        resume=True,
        baselines=(stored / "baselines").exists(),
        tick=tick,
        started=started,
        told=told,
    )
    note = f"attacked again after the run in {stored.name}: a headline chosen now was not declared before that run"
    return execute(config, plan, (note,))
