"""One federation as a job: run it, test its models, and let each adversary look at what it received.

The same job serves the target and every shadow federation. A shadow draws other coins and other secret seeds; the
public folds and the candidate pools stay. What is written is what an adversary may know, and the utility.
"""

from __future__ import annotations

import math
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder
from fedprivacy.adversary.observations import unplayed
from fedprivacy.adversary.sight import Sight
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import declared
from fedprivacy.federation.own.recorded import RecordedFederation
from fedprivacy.federation.tested import scored, scored_otherwise
from fedprivacy.judge import examiner
from fedprivacy.privacy import NoNoise, PrivacyEvent, event_to_json
from fedprivacy.study import stored
from fedprivacy.study.inversion.invert import observe_inversions
from fedprivacy.study.label_shares import observe_label_shares
from fedprivacy.study.observe import observe_all
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import of_job
from fedprivacy.study.resolved import Study
from fedprivacy.study.room import room
from fedprivacy.study.theft import observe_theft
from fedprivacy.training.learner import Together
from fedprivacy.wire.codec import weights_bytes
from fedprivacy.wire.transcript import directions, times

SUMMARY = "summary.json"
HELD = 256e6
"""Bytes that a federation may write for it to stay in memory where nobody needs its files afterwards."""

TOO_LARGE = 20.0
"""Times the loss of guessing from which a test loss is remarked on."""


@dataclass(frozen=True)
class Beside:
    """What a federation has of those that run at the same time: who trains for all, and its own share of the cost."""

    together: Together
    clock: Callable[[], float]


def federate(
    tick: Callable[[int], None],
    config: str,
    root: int,
    shadow: int | None,
    where: str,
    device: str = "cpu",
    beside: Beside | None = None,
    looks: bool = True,
) -> dict[str, Any]:
    """Run (or take up) one federation in folder ``where`` and return its summary; ``config`` is JSON.

    ``beside``: where others run at the same time. Without ``looks`` what adversaries observe for the membership attack
    is left to jobs of their own (:mod:`fedprivacy.study.look`).
    """
    place = Path(where)
    study = of_job(config)
    identity = stored.Identity.of_federation(study.config, study.dataset.digest, device, root, shadow)
    with stored.federation(place, identity):
        if (place / SUMMARY).exists():
            tick(study.federation.rounds)
            summary = folder.read_json(place / SUMMARY)
        else:
            summary = _federate(tick, study, root, shadow, place, device, beside, looks)
        if shadow is not None:
            for spent in ("transcript", "checkpoint", "probes", "active"):
                shutil.rmtree(place / spent, ignore_errors=True)
        return summary


def _federate(
    tick: Callable[[int], None],
    study: Study,
    root: int,
    shadow: int | None,
    place: Path,
    device: str,
    beside: Beside | None,
    looks: bool,
) -> dict[str, Any]:
    clock = time.process_time if beside is None else beside.clock
    start = clock()
    ran = finished(tick, study, root, shadow, place, device, beside)
    protocol, env, done = ran.protocol, ran.env, ran.done
    if looks:
        observe_all(ran)
    if shadow is None:
        observe_label_shares(ran)
        observe_theft(ran)
        observe_inversions(ran, lambda units: tick(env.rounds + units))
    summary = _summary(protocol, env, done, test=shadow is None)
    if not isinstance(protocol, RecordedFederation):
        summary["notes"] += _undecoded(study)
    summary["cost"] = cost(clock() - start)
    folder.write_json(place / SUMMARY, summary)
    return summary


def finished(
    tick: Callable[[int], None],
    study: Study,
    root: int,
    shadow: int | None,
    place: Path,
    device: str,
    beside: Beside | None = None,
) -> Ran:
    """One federation after its rounds, run, taken up or read in folder ``place``."""
    env, played = study.environment(root, shadow, device)
    if beside is not None:
        env = replace(env, workbench=env.workbench.beside(beside.together))
    protocol, defense = study.protocol, study.defense(env)
    if isinstance(protocol, RecordedFederation):
        protocol = replace(protocol, shadow=shadow)
    on_disk = shadow is None or not fits_memory(study, env)
    done = engine.run(protocol, env, place if on_disk else None, defense, tick)
    trained = [[int(r) for fold in folds for r in fold] for folds in env.members]
    pools = [played.division.pool(k).tolist() for k in range(env.clients)]
    examiner.assert_trained_on_coins(trained, pools, played.flat_coins)
    return Ran(study, root, shadow is not None, played, env, defense, done, place, on_disk)


def cost(cpu_seconds: float) -> dict[str, float]:
    """What this process used: ``cpu_seconds`` as given, and its largest memory in MB."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_seconds": round(cpu_seconds, 2), "memory_mb": round(memory, 1)}


def fits_memory(study: Study, env: Environment) -> bool:
    """Whether a shadow federation can go without files: its messages are few, and nothing is played again later."""
    replayed = any(getattr(study.observation(name), "reads_traps", False) for _, name in study.seats.observations)
    return not replayed and room(study.wire, env).disk <= HELD


def _undecoded(study: Study) -> list[str]:
    """What adversaries of the membership attack could not do for want of knowing how clients train."""
    told = [line for adversary in study.seats.observers for line in unplayed(Sight(adversary, study.wire))]
    return list(dict.fromkeys(told))


def _suspicious(utility: Mapping[str, Mapping[str, float]], classes: int) -> list[str]:
    """A note where a model is further from the labels than guessing by a factor that only diverging training gives."""
    worst = max(utility, key=lambda owner: utility[owner]["loss"], default=None)
    if worst is None or utility[worst]["loss"] <= TOO_LARGE * math.log(classes):
        return []
    return [
        f"the test loss of {worst} is {utility[worst]['loss']:.3g} nats, guessing has {math.log(classes):.2f}: "
        "its training all but diverged, and numbers on it say little"
    ]


def _start_bytes(env: Environment, silent: bool) -> int:
    """A shared start that was warmed up has to reach every client; a random one is a seed."""
    shared = env.settings.training.init == "shared" and len(env.division.warmup)
    if not shared or silent:
        return 0
    return sum(_model_bytes(env))


def _model_bytes(env: Environment) -> list[int]:
    """Encoded bytes of each client's model."""
    return [weights_bytes(env.workbench.module(env.architecture(k)).state_dict()) for k in range(env.clients)]


def _scale_events(env: Environment) -> list[PrivacyEvent]:
    """A scale of the feature columns that private records were used for: one release a client, before round 1."""
    if env.settings.data.scaling != "private" or env.dataset.is_image:
        return []
    return [PrivacyEvent(client, 0, "column means and deviations", NoNoise()) for client in range(env.clients)]


def _summary(protocol: Any, env: Environment, done: engine.Federation, test: bool) -> dict[str, Any]:
    by_round = [directions([m for m in done.transcript.messages if m.round == t]) for t in range(1, env.rounds + 1)]
    utility: dict[str, dict[str, float]] = {}
    if test:
        utility = scored(protocol.models(done.state, env), env)
        for owner, more in scored_otherwise(protocol, done.state, env).items():
            utility[owner] |= more
    return {
        "utility": utility,
        "per_round": by_round,
        "payload_bytes": sum(m.payload_bytes * times(m) for m in done.transcript.messages),
        "start_bytes": _start_bytes(env, silent=not declared(protocol, env.settings)),
        "senders": [len(env.senders(t)) for t in range(1, env.rounds + 1)],
        "public_bytes": sum(fold.bytes * fold.receivers for fold in done.transcript.folds),
        "model_bytes": round(float(np.mean(_model_bytes(env)))),
        "events": [event_to_json(event) for event in (*done.events, *_scale_events(env))],
        "records": min(len(played) for played in map(env.division.pool, range(env.clients))),
        "data_digest": env.dataset.digest,
        "notes": [*env.dataset.notes, *_suspicious(utility, len(env.dataset.classes))],
    }
