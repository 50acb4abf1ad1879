"""How many messages a run sends, and what disk and memory it needs, told before it starts; what cannot fit is refused.

Counted from what the protocol declares that it sends (:mod:`fedprivacy.wire.release`): exact for plain rounds, an upper
bound where clients drop out or some messages are empty.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedprivacy.adversary.sight import Wire
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation.environment import Environment
from fedprivacy.reporting.text import count, size
from fedprivacy.study.resolved import Study
from fedprivacy.wire.codec import weights_bytes
from fedprivacy.wire.release import MODELS, PREDICTIONS, PROTOTYPES, UPDATES, Release

BASE_MEMORY = 400e6
"""Bytes of a process that has imported torch and read a small data set."""

ROW, ENTRY, HEADER = 14, 220, 500
"""Bytes of a further receiver and of a message in the log, and of a message's own header."""

IN_MEMORY = 120
"""Bytes of a message's line in memory."""

TOLD_FROM = (50_000, 200e6)
"""Messages, and bytes of disk, from which a run is told about."""


@dataclass(frozen=True)
class Room:
    """What one federation needs: messages, bytes of disk while it runs, bytes of memory of its process."""

    messages: int
    disk: float
    memory: float


def room(wire: Wire, env: Environment) -> Room:
    """What one federation needs."""
    federation, training = wire.federation, wire.federation.training
    weights = {name: weights_bytes(env.workbench.module(name).state_dict()) for name in federation.architectures}
    messages, contents, entries = 0, 0.0, 0
    for release in wire.releases:
        several, different = _counts(release, federation)
        messages += several
        entries += different
        relayed = release.of == "relay"
        contents += 0 if relayed else different * (HEADER + _values(release, env, weights))
    rounds = federation.rounds
    log = rounds * (messages * ROW + entries * ENTRY)
    moments = 1 + (2 if training.optimizer == "adam" else training.momentum > 0)
    kept = moments if training.optimizer_state == "persistent" else 1
    state = kept * sum(weights[federation.architecture(client)] for client in range(federation.clients))
    disk = rounds * contents + log + 3 * state
    memory = BASE_MEMORY + 4 * state + rounds * messages * IN_MEMORY + 2 * env.dataset.x_train.nbytes
    return Room(rounds * messages, disk, memory)


def _counts(release: Release, federation: FederationSettings) -> tuple[int, int]:
    """Messages of a round, and those of different content."""
    taking = federation.together
    if release.sender == "client":
        receivers = 1 if release.receivers == "server" else federation.clients - 1
        return taking * release.times * receivers, taking * release.times
    everybody = federation.clients if release.reads in UPDATES | PROTOTYPES else taking
    if release.of == "relay":
        return taking * (taking - 1) * release.times, taking * release.times
    return everybody * release.times, release.times * (everybody if release.of == "mean of others" else 1)


def _values(release: Release, env: Environment, weights: dict[str, int]) -> float:
    if release.reads in MODELS:
        return weights.get(release.architecture, sum(weights.values()) / len(weights))
    classes = 1 if env.settings.training.output == "sigmoid" else len(env.dataset.classes)
    if release.reads in PREDICTIONS:
        each = {"labels": 1, "losses": 4}.get(release.form, 4 * classes)
        return env.settings.data.public_size * each
    return 4.0 * 256 * classes if release.reads in PROTOTYPES else 4.0


def announced(study: Study, env: Environment, where: Path, workers: int) -> str:
    """One line where a run is large; UsageError where disk or memory cannot hold it."""
    one, seeds, shadows = room(study.wire, env), len(study.roots), study.attack.shadows
    federations = seeds + min(workers, shadows)
    disk, at_once = federations * one.disk, min(workers, seeds * (1 + shadows))
    memory = at_once * one.memory
    words = (
        f"{count(one.messages)} messages a federation; about {size(disk)} of disk and {size(memory)} of memory for "
        f"{federations} federation{'s' if federations > 1 else ''}"
    )
    there = next(place for place in (where, *where.absolute().parents) if place.exists())
    free, available = shutil.disk_usage(there).free, available_memory()
    advice = "lower --rounds, --clients or --participation, or take a smaller --model"
    if disk > free:
        raise UsageError(f"this run needs {words}, and {size(free)} of disk are free at {there}: {advice}.")
    if available is not None and memory > available:
        raise UsageError(f"this run needs {words}, and {size(available)} of memory are free: {advice}, or --workers.")
    return words if one.messages >= TOLD_FROM[0] or disk >= TOLD_FROM[1] else ""


def available_memory() -> float | None:
    """Bytes that this machine can still give; None where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return None
