"""One adversary's look at a finished federation as a job, so that several look at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedprivacy.config.base import UsageError
from fedprivacy.execution.job import Job
from fedprivacy.federation.checkpoints import last_round
from fedprivacy.study import stored
from fedprivacy.study.estimate import federation_steps
from fedprivacy.study.job import cost, finished
from fedprivacy.study.observe import look, looks, observed_path
from fedprivacy.study.resolve import of_job
from fedprivacy.study.resolved import Study
from fedprivacy.study.room import available_memory, room

WORTH = 500
"""Steps of training from which what was recorded takes longer to read than another process takes to start."""


def apart(study: Study, workers: int, device: str = "cpu") -> bool:
    """Whether adversaries look in jobs of their own: there is somebody to look meanwhile, enough to look at, and memory
    for all of them. Never on one GPU, which they would share."""
    seats = len(study.roots) * len(looks(study))
    if workers < 2 or len(looks(study)) < 2 or device != "cpu":
        return False
    env, free = study.environment(study.roots[0])[0], available_memory()
    if federation_steps(study, env) < WORTH:
        return False
    return free is None or min(workers, seats) * room(study.wire, env).memory <= free


def look_again(
    tick: Callable[[int], None], config: str, root: int, adversary: str, names: Sequence[str], where: str, device: str
) -> dict[str, Any]:
    """Write what ``adversary`` (its name) observes of the finished federation in folder ``where``; returns the cost.

    ``config`` is JSON, ``names`` the observations. The federation was trained before, so there is nothing to ``tick``.
    """
    start, study, place = time.process_time(), of_job(config), Path(where)
    with stored.looking(place, adversary):
        if last_round(place / "checkpoint") != study.federation.rounds:
            raise UsageError(f"{place} has no checkpoint after its last round; run it again with --fresh.")
        ran = finished(lambda rounds: None, study, root, None, place, device)
        look(ran, next(one for one in looks(study) if one.name == adversary), names)
    return cost(time.process_time() - start)


def left(study: Study, where: Path, root: int, device: str) -> Sequence[Job]:
    """A job for each adversary that has not looked yet at the finished federation of a seed in run folder ``where``."""
    place = study.place(where, root)
    jobs = []
    for adversary, names in looks(study).items():
        missing = [name for name in names if not observed_path(place, adversary, name).exists()]
        if not missing:
            continue
        arguments: Mapping[str, Any] = {
            "config": study.config.model_dump_json(),
            "root": root,
            "adversary": adversary.name,
            "names": missing,
            "where": str(place),
            "device": device,
        }
        jobs.append(Job(f"seed {root}, {adversary.name}", "fedprivacy.study.look:look_again", arguments))
    return jobs
