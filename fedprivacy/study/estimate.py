"""How long the shadow federations of a run will take, told before they start.

A few steps of one client's training are timed, and a federation's steps are counted: private and public passes of every
client, twice where a model travels beside its own, and the adversary's surrogates. A forecast within a factor of two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from fedprivacy.federation.environment import Environment
from fedprivacy.study.job import SUMMARY
from fedprivacy.study.resolved import Study

SURROGATE_BATCH = 64
START_SECONDS = 3.0
"""A federation's share of imports, division and queries."""


def announced(study: Study, env: Environment, shadows: Sequence[Path], workers: int) -> str:
    """One line on shadow federations in these folders: how many, how many are found, how long; empty without any."""
    if not shadows:
        return ""
    to_train = [place for place in shadows if not (place / SUMMARY).exists()]
    words = f"{len(shadows)} shadow federations, {len(shadows) - len(to_train)} of them found in the bank"
    if not to_train:
        return words
    at_once = min(workers, len(to_train))
    seconds = math.ceil(len(to_train) / at_once) * federation_seconds(study, env)
    return f"{words}; the others take about {spoken(seconds)} with {at_once} worker{'s' if at_once > 1 else ''}"


def federation_seconds(study: Study, env: Environment) -> float:
    """Expected seconds of one federation on this machine as it is now."""
    steps = federation_steps(study, env)
    return START_SECONDS + steps * step_seconds(env)


def federation_steps(study: Study, env: Environment) -> int:
    """Gradient steps of one federation: all clients' training and the surrogates of all passive adversaries."""
    training, data = study.federation.training, study.federation.data
    private = sum(
        training.local_steps
        or training.local_epochs * math.ceil(len(env.members[client][env.fold(client, number)]) / training.batch_size)
        for client in range(env.clients)
        for number in range(1, env.rounds + 1)
    )
    sent = study.wire.model
    private *= 2 if sent is not None and sent.architecture else 1
    passes = study.public_passes
    size = data.public_size
    public = env.rounds * env.clients * passes * math.ceil(size / training.batch_size) if passes else 0
    distilled = sum(name == "surrogate" for _, name in study.seats.observations)
    collected = env.rounds * size if data.public_set == "dynamic" else size
    surrogate = distilled * env.clients * study.attack.surrogate_epochs * math.ceil(collected / SURROGATE_BATCH)
    return private + public + surrogate


def step_seconds(env: Environment) -> float:
    """Seconds of one training step of client 0: the faster of two short fits, on weights that are thrown away."""
    records = env.records(env.members[0][0][: 4 * env.settings.training.batch_size])
    steps = math.ceil(len(records) / env.settings.training.batch_size)
    found = []
    for trial in range(2):
        name = env.architecture(0)
        learner = env.workbench.learner(name, env.workbench.initial(name, (env.root, ("estimate",))))
        _ = learner.optimizer
        start = time.perf_counter()
        learner.fit(records, 2, (env.root, ("estimate", trial)))
        found.append((time.perf_counter() - start) / (2 * steps))
    return min(found)


def spoken(seconds: float) -> str:
    """``40 s``, ``6 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds)):d} s"
    return f"{round(seconds / 60):d} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
