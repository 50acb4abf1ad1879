"""Each adversary of a run reconstructs what it can from its view; what it found is written, with no truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedprivacy import folder, seeds
from fedprivacy.adversary.inversion import Source
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.inversion import recovered
from fedprivacy.attacks.inversion.from_imprint import ONE_STEP, malicious
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.attacks.inversion.observe import StatedLabels, observe_inversion
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Division
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.models.build import build
from fedprivacy.study.game import Game
from fedprivacy.study.inversion.batches import used
from fedprivacy.study.observe import common_start
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Seed, Workbench, normalised

MASKED_ROUNDS = 4
UNITS = 10
"""Steps of progress that one adversary's reconstruction counts for."""


def inversion_path(place: Path, adversary: Adversary) -> Path:
    """Where a federation's folder holds what an adversary reconstructed."""
    return place / "observed" / f"{adversary.name}--inversion.safetensors"


def observe_inversions(
    config: RunConfig,
    env: Environment,
    played: Game,
    defense: Defense | None,
    done: engine.Federation,
    root: int,
    place: Path,
    tick: Callable[[int], None],
) -> None:
    """Write what every adversary of ``config`` reconstructs; a failure is written with its cause."""
    chosen = resolve(config).inversion_seats
    for number, (adversary, source) in enumerate(chosen):

        def progress(share: float, number: int = number) -> None:
            tick(round(UNITS * (number + min(1.0, share))))

        path = inversion_path(place, adversary)
        try:
            seen, transcript = env, done.transcript
            if source == "imprint":
                seen = imprinted(env, played.division, config)
                transcript = engine.run(resolve(config).protocol(), seen, place / "imprint", defense).transcript
            knowledge = _knowledge(config, seen, played.division, source, root)
            stated = _stated(config, played, root, source)
            found = observe_inversion(view_of([transcript], adversary), knowledge, source, stated, progress)
            recovered.save(path, found)
        except UsageError:
            raise
        except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
            folder.write_arrays(path, {}, {"failed": str(error) or type(error).__name__})
        progress(1.0)


def imprinted(env: Environment, division: Division, config: RunConfig) -> Environment:
    """One round in which the server sends a malicious model made from public records alone.

    Several rounds where it sees but one sum a round, so that there is another message to compare with.
    """
    rounds = min(MASKED_ROUNDS, env.rounds) if resolve(config).wire.defended.hides_each else 1
    data, training, bins = env.dataset, config.training, config.attack.inversion.bins
    public = normalised(torch.from_numpy(data.x_train[division.auxiliary])).flatten(1)

    shrink = ONE_STEP if training.local_steps == 1 and rounds == 1 else 1.0

    def made(name: str, seed: Seed) -> nn.Module:
        root, key = seed
        inner = build(name, data.shape, len(data.classes), training.output, root, *key)
        return malicious(inner, data.shape, public, bins, shrink)

    bench = Workbench(made, training, str(env.workbench.device))
    return replace(env, settings=replace(env.settings, rounds=rounds), workbench=bench)


def _knowledge(config: RunConfig, env: Environment, division: Division, source: Source, root: int) -> Knowledge:
    return Knowledge(
        config.attack,
        seeds.value(root, "adversary", "inversion"),
        env.dataset,
        np.concatenate([division.pool(client) for client in range(len(division.candidates))]),
        division.auxiliary,
        env.workbench.with_training(config.training),
        None if source == "predictions" else common_start(resolve(config).protocol(), env),
        wire=resolve(config).wire,
    )


def _stated(config: RunConfig, played: Game, root: int, source: Source) -> StatedLabels | None:
    """Labels of the records behind each message: handed over under the preset ``strong`` alone, and printed there."""
    if config.attack.inversion.knowledge != "strong" or source not in ("updates", "aggregate"):
        return None
    clients = [EVERYBODY] if source == "aggregate" else range(config.clients)
    labels = played.dataset.y_train
    return {
        (client, number): [int(labels[i]) for ids in used(config, played, root, client, number) for i in ids]
        for client in clients
        for number in range(1, config.rounds * config.clients + 1)
    }
