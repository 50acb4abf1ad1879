"""Shadow federations that run at the same time, each client of all of them trained as one computation where that pays.

Each federation is run as it is alone, in lockstep with the others: where one trains a client it waits until the others
do, and the fits are done together. Weights differ from those of one federation after the other by the rounding of sums,
and whatever follows from that. A process that is killed loses the federations that are under way, those that are
finished lie in the bank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fedprivacy.execution.lockstep import Lockstep
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import ChangesTraining
from fedprivacy.study.job import Beside, federate, fits_memory
from fedprivacy.study.resolved import Study
from fedprivacy.study.room import room
from fedprivacy.training.abreast import Abreast, answered
from fedprivacy.training.by_hand import chain

MOST = 16
"""Federations at once, at most: sixteen have nearly all of the gain, and a killed process loses no more."""

NUMBERS = 1_000_000
"""Parameters of all models side by side up to which a CPU trains them faster so (`benchmarks/side_by_side.py`)."""

MEMORY = 1e9
"""Bytes that the messages of federations at once may take."""


def at_once(study: Study, env: Environment, federations: int, workers: int) -> int:
    """How many of ``federations`` shadows one worker of several should run at the same time; 0: in turn is better.

    0 where nothing could be trained together: other models, code from outside, a defense that changes training; and on
    a GPU, where nobody has measured it yet.
    """
    if env.workbench.device.type != "cpu":
        return 0
    if study.code or not fits_memory(study, env) or isinstance(study.defense(env), ChangesTraining):
        return 0
    models = {name: env.workbench.module(name) for name in map(env.architecture, range(env.clients))}
    if any(chain(model) is None for model in models.values()):
        return 0
    fast = NUMBERS // max(sum(p.numel() for p in model.parameters()) for model in models.values())
    if fast < 2:
        return 0
    held = int(MEMORY // max(room(study.wire, env).disk, 1))
    return max(1, min(MOST, fast, held, -(-federations // workers)))


def federate_abreast(
    tick: Callable[[int], None],
    config: str,
    root: int,
    shadows: Sequence[int],
    places: Sequence[str],
    device: str = "cpu",
) -> dict[str, Any]:
    """Run (or take up) shadow federations ``shadows`` in their ``places``; what they cost together."""
    steps = Lockstep(answered)
    done = dict.fromkeys(shadows, 0)

    def ticked(shadow: int, rounds: int) -> None:
        done[shadow] = rounds
        tick(sum(done.values()))

    beside = Beside(Abreast(steps.meet), lambda: time.thread_time() + steps.spent / len(shadows))
    works = [
        partial(federate, partial(ticked, shadow), config, root, shadow, place, device, beside)
        for shadow, place in zip(shadows, places, strict=True)
    ]
    costs = [summary["cost"] for summary in steps.run(works)]
    return {"cost": {"cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs), 2)}}
