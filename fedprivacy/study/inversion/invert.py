"""Each adversary of a run reconstructs what it can from its view; what it found is written, with no truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedprivacy import folder
from fedprivacy.adversary.inversion import Source
from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.inversion import recovered
from fedprivacy.attacks.inversion.from_imprint import ONE_STEP, malicious
from fedprivacy.attacks.inversion.labels_behind import StatedLabels
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.attacks.inversion.observe import observe_inversion
from fedprivacy.config.base import UsageError
from fedprivacy.data.records import Division
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.models.build import build
from fedprivacy.study.inversion.batches import Batches
from fedprivacy.study.observe import rules
from fedprivacy.study.ran import Ran, common_start
from fedprivacy.training.learner import Seed, Workbench, normalised

MASKED_ROUNDS = 4
UNITS = 10
"""Steps of progress that one adversary's reconstruction counts for."""


def inversion_path(place: Path, adversary: Adversary) -> Path:
    """Where a federation's folder holds what an adversary reconstructed."""
    return place / "observed" / f"{adversary.name}--inversion.safetensors"


def observe_inversions(ran: Ran, tick: Callable[[int], None]) -> None:
    """Write what every adversary reconstructs; a failure is written with its cause."""
    division = ran.game.division
    for number, (adversary, source) in enumerate(ran.study.seats.inversion):

        def progress(share: float, number: int = number) -> None:
            tick(round(UNITS * (number + min(1.0, share))))

        path = inversion_path(ran.place, adversary)
        try:
            env, transcript = ran.env, ran.done.transcript
            if source == "imprint":
                env = imprinted(env, division, ran.study.wire, ran.study.attack.inversion.bins)
                transcript = engine.run(ran.protocol, env, ran.place / "imprint", ran.defense).transcript
            start = None if source == "predictions" else common_start(ran.protocol, env)
            told = rules(ran.study, env, division)
            knowledge = replace(ran, env=env).knowledge("inversion", start=start, rules=told)
            stated = _stated(ran, source)
            found = observe_inversion(view_of([transcript], adversary), knowledge, source, stated, progress)
            recovered.save(path, found)
        except UsageError:
            raise
        except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
            folder.write_arrays(path, {}, {"failed": str(error) or type(error).__name__})
        progress(1.0)


def imprinted(env: Environment, division: Division, wire: Wire, bins: int) -> Environment:
    """One round in which the server sends a malicious model made from public records alone.

    Several rounds where it sees but one sum a round, so that there is another message to compare with. ``bins``: how
    many parts its layer cuts the public records into.
    """
    rounds = min(MASKED_ROUNDS, env.rounds) if wire.defended.hides_each else 1
    data, training = env.dataset, env.settings.training
    public = normalised(torch.from_numpy(data.x_train[division.auxiliary])).flatten(1)

    shrink = ONE_STEP if training.local_steps == 1 and rounds == 1 else 1.0

    def made(name: str, seed: Seed) -> nn.Module:
        root, key = seed
        inner = build(name, data.shape, len(data.classes), training.output, root, *key)
        return malicious(inner, data.shape, public, bins, shrink)

    bench = Workbench(made, training, str(env.workbench.device))
    return replace(env, settings=replace(env.settings, rounds=rounds), workbench=bench)


def _stated(ran: Ran, source: Source) -> StatedLabels | None:
    """Labels of the records behind each message: handed over under the preset ``strong`` alone, and printed there."""
    study, labels = ran.study, ran.game.dataset.y_train
    batches = Batches(study.wire, ran.game, ran.root, study.named_batches)
    if study.attack.inversion.knowledge != "strong" or source not in ("updates", "aggregate"):
        return None
    clients = [EVERYBODY] if source == "aggregate" else range(study.federation.clients)
    return {
        (client, number): [int(labels[i]) for ids in batches.used(client, number) for i in ids]
        for client in clients
        for number in range(1, study.federation.rounds * study.federation.clients + 1)
    }
