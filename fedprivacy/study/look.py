"""One adversary's look at a finished federation as a job, so that several look at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedprivacy.execution.job import Job
from fedprivacy.study import stored
from fedprivacy.study.estimate import federation_steps
from fedprivacy.study.job import cost, finished
from fedprivacy.study.observe import look, looks, observed_path
from fedprivacy.study.resolve import of_job
from fedprivacy.study.resolved import Study

WORTH = 500
"""Steps of training from which what was recorded takes longer to read than another process takes to start."""


def apart(study: Study, workers: int) -> bool:
    """Whether adversaries look in jobs of their own: there is somebody to look meanwhile, and enough to look at."""
    if workers < 2 or len(looks(study)) < 2:
        return False
    return federation_steps(study, study.environment(study.roots[0])[0]) >= WORTH


def look_again(
    tick: Callable[[int], None], config: str, root: int, adversary: str, where: str, device: str
) -> dict[str, Any]:
    """Write what ``adversary`` (its name) observes of the finished federation in folder ``where``; returns the cost.

    ``config`` is JSON. The federation was trained before, so there is nothing to ``tick``.
    """
    start, study, place = time.process_time(), of_job(config), Path(where)
    with stored.looking(place):
        ran = finished(lambda rounds: None, study, root, None, place, device)
        theirs = {one.name: (one, names) for one, names in looks(study).items()}
        look(ran, *theirs[adversary])
    return cost(time.process_time() - start)


def left(study: Study, where: Path, root: int, device: str) -> Sequence[Job]:
    """A job for each adversary that has not looked yet at the finished federation of a seed in run folder ``where``."""
    place = study.place(where, root)
    jobs = []
    for adversary, names in looks(study).items():
        if all(observed_path(place, adversary, name).exists() for name in names):
            continue
        arguments: Mapping[str, Any] = {
            "config": study.config.model_dump_json(),
            "root": root,
            "adversary": adversary.name,
            "where": str(place),
            "device": device,
        }
        jobs.append(Job(f"seed {root}, {adversary.name}", "fedprivacy.study.look:look_again", arguments))
    return jobs
