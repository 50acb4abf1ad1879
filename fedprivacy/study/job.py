"""One federation as a job: run it, test its models, and let each adversary look at what it received.

The same job serves the target and every shadow federation. A shadow draws other coins and other secret seeds; the
public folds and the candidate pools stay. What is written is what an adversary may know, and the utility.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fedprivacy import catalog, folder, seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.data.canaries import canaries, planted
from fedprivacy.data.coins import Bool, coins, redraw
from fedprivacy.data.division import divide
from fedprivacy.data.records import Dataset, Division
from fedprivacy.data.scaling import scaled
from fedprivacy.data.sources import load
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import PlansWork, declared
from fedprivacy.federation.own.recorded import RecordedFederation
from fedprivacy.judge import examiner
from fedprivacy.models.build import build
from fedprivacy.privacy import NoNoise, PrivacyEvent, event_to_json
from fedprivacy.recording.game import read_game
from fedprivacy.study import recorded, stored
from fedprivacy.study.game import Game as Game
from fedprivacy.study.inversion.invert import observe_inversions
from fedprivacy.study.observe import observe_all, observe_label_shares
from fedprivacy.study.resolve import resolve
from fedprivacy.study.theft import observe_theft
from fedprivacy.training.learner import Seed, Workbench
from fedprivacy.wire.transcript import directions, times

SUMMARY = "summary.json"
TOO_LARGE = 20.0
"""Times the loss of guessing from which a test loss is remarked on."""


def dataset_of(text: str) -> Dataset:
    """The data set of a configuration, kept for the next job of this process until its files change."""
    config = DataConfig.model_validate_json(text)
    recording, place = recorded.folder_of(config), config.data_dir
    if recording is not None:
        return read_game(recording).dataset
    return _dataset_of(text, () if place is None else _stamp(Path(place).expanduser()))


@lru_cache(maxsize=2)
def _dataset_of(text: str, stamp: tuple[tuple[str, int, int, int], ...]) -> Dataset:
    return load(DataConfig.model_validate_json(text))


def _stamp(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, inode, size and time of a file, or of every file in a folder."""
    files = [path] if not path.is_dir() else (Path(place, name) for place, _, names in os.walk(path) for name in names)
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            state = file.stat()
            found.append((str(file), state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))


def game(config: RunConfig, root: int, shadow: int | None) -> Game:
    """Who holds what, and the coins: the truth, or the draw of shadow federation ``shadow``."""
    recording = recorded.folder_of(config)
    if recording is not None:
        return recorded.played(recording, config, shadow)
    dataset = dataset_of(config.data.model_dump_json())
    division = divide(dataset, config.data, config.clients, config.rounds, root)
    dataset = scaled(dataset, division, config.data)
    inclusion, kind = config.data.inclusion, config.canaries.coins
    drawn = (
        coins(division, inclusion, root, kind) if shadow is None else redraw(division, inclusion, root, shadow, kind)
    )
    changed = planted(dataset, division, config.canaries, root)
    return Game(changed, division, drawn, canaries(division, config.canaries, root))


def shadow_coins(config: RunConfig, division: Division, root: int, shadow: int) -> tuple[Bool, ...]:
    """The coins of a shadow federation, which the adversary drew; of a recorded one those that it was recorded with."""
    recording = recorded.folder_of(config)
    if recording is not None:
        return recorded.coins_of(recording, division, shadow)
    return redraw(division, config.data.inclusion, root, shadow, config.canaries.coins)


def environment(config: RunConfig, root: int, shadow: int | None, device: str = "cpu") -> tuple[Environment, Game]:
    """The environment of one federation."""
    played = game(config, root, shadow)
    secret = root if shadow is None else seeds.value(root, "shadow", shadow)
    members = played.members()
    for client, folds in enumerate(members):
        if not any(map(len, folds)):
            raise UsageError(f"client {client} has no record to train on: raise data.candidates or data.inclusion.")
    bench = workbench(config, played.dataset, device)
    env = Environment(FederationSettings.of(config), secret, played.dataset, played.division, members, bench)
    protocol = catalog.protocol(config)
    return (replace(env, planned=tuple(protocol.work(env))) if isinstance(protocol, PlansWork) else env), played


def workbench(config: RunConfig, dataset: Dataset, device: str) -> Workbench:
    """Builds models that fit the data set."""
    shape, classes, output = dataset.shape, len(dataset.classes), config.training.output

    def made(name: str, seed: Seed) -> nn.Module:
        root, key = seed
        return build(name, shape, classes, output, root, *key)

    return Workbench(made, config.training, device)


def federate(
    tick: Callable[[int], None],
    config: str,
    root: int,
    shadow: int | None,
    where: str,
    device: str = "cpu",
) -> dict[str, Any]:
    """Run (or take up) one federation in folder ``where`` and return its summary; ``config`` is JSON."""
    place = Path(where)
    settings = RunConfig.model_validate_json(config)
    data = dataset_of(settings.data.model_dump_json()).digest
    with stored.federation(place, stored.Identity.of_federation(settings, data, device, root, shadow)):
        if not (place / SUMMARY).exists():
            return _federate(tick, settings, root, shadow, place, device)
        tick(settings.rounds)
        return folder.read_json(place / SUMMARY)


def _federate(
    tick: Callable[[int], None], settings: RunConfig, root: int, shadow: int | None, place: Path, device: str
) -> dict[str, Any]:
    start = time.process_time()
    env, played = environment(settings, root, shadow, device)
    study = resolve(settings)
    protocol, defense = study.protocol(), study.defense(env)
    if isinstance(protocol, RecordedFederation):
        protocol = replace(protocol, shadow=shadow)
    done = engine.run(protocol, env, place, defense, tick)
    trained = [[int(r) for fold in folds for r in fold] for folds in env.members]
    pools = [played.division.pool(k).tolist() for k in range(env.clients)]
    examiner.assert_trained_on_coins(trained, pools, played.flat_coins)
    observe_all(settings, env, played.division, defense, done, root, place, shadow is not None)
    if shadow is None and "labels" in settings.attack.attacks:
        observe_label_shares(settings, env, played.division, done, root, place)
    if shadow is None and "theft" in settings.attack.attacks:
        observe_theft(settings, env, played.division, defense, done, root, place)
    if shadow is None and "inversion" in settings.attack.attacks:
        observe_inversions(
            settings, env, played, defense, done, root, place, lambda units: tick(settings.rounds + units)
        )
    summary = _summary(protocol, env, done, test=shadow is None)
    summary["cost"] = {
        "cpu_seconds": round(time.process_time() - start, 2),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    folder.write_json(place / SUMMARY, summary)
    if shadow is not None:
        for spent in ("transcript", "checkpoint", "probes", "active"):
            shutil.rmtree(place / spent, ignore_errors=True)
    return summary


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
    return [catalog.model_bytes(env.workbench.module(env.architecture(client))) for client in range(env.clients)]


def _scale_events(env: Environment) -> list[PrivacyEvent]:
    """A scale of the feature columns that private records were used for: one release a client, before round 1."""
    if env.settings.data.scaling != "private" or env.dataset.is_image:
        return []
    return [PrivacyEvent(client, 0, "column means and deviations", NoNoise()) for client in range(env.clients)]


def _summary(protocol: Any, env: Environment, done: engine.Federation, test: bool) -> dict[str, Any]:
    by_round = [directions([m for m in done.transcript.messages if m.round == t]) for t in range(1, env.rounds + 1)]
    utility: dict[str, dict[str, float]] = {}
    if test:
        utility = engine.tested(protocol.models(done.state, env), env)
        for owner, more in engine.tested_otherwise(protocol, done.state, env).items():
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
