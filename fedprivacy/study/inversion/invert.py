"""Each adversary of a run reconstructs what it can from its view; what it found is written, with no truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from fedprivacy import seeds
from fedprivacy.adversary.inversion import Source
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.inversion import recovered
from fedprivacy.attacks.inversion.from_imprint import malicious
from fedprivacy.attacks.inversion.labels_behind import StatedLabels
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.attacks.inversion.observe import observe_inversion
from fedprivacy.data.records import Division
from fedprivacy.federation.dishonest import rounds_anew, state_after
from fedprivacy.federation.environment import Environment, Part
from fedprivacy.federation.interfaces import prepared
from fedprivacy.models.build import build
from fedprivacy.study.attempt import attempt
from fedprivacy.study.inversion.batches import Batches
from fedprivacy.study.observe import given_starts, rules
from fedprivacy.study.ran import Ran, common_start
from fedprivacy.training.learner import Seed, Workbench, normalised

MASKED_ROUNDS = 4
"""Rounds in which a server sends its malicious model where it sees one sum a round: another round's is the null."""
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
        with attempt(path):
            env, transcript = ran.env, ran.done.transcript
            if source == "imprint":
                env, first = prepared(env, ran.defense), ran.study.attack.inversion.first_round
                env = imprinted(env, division, ran.study.attack.inversion.bins, ran.root, _honest(ran, env, first))
                rounds = min(MASKED_ROUNDS, env.rounds - first + 1) if ran.study.wire.defended.hides_each else 1
                transcript = rounds_anew(ran.protocol, env, rounds, ran.defense, first)
            start = None if source == "predictions" else common_start(ran.protocol, env)
            follows = source == "predictions"
            told = rules(ran.study, env, division, initial=not follows)
            starts = given_starts(env) if follows else None
            knowledge = replace(ran, env=env).knowledge("inversion", start=start, rules=told, starts=starts)
            stated = _stated(ran, source)
            found = observe_inversion(view_of([transcript], adversary), knowledge, source, stated, progress)
            recovered.save(path, found)
        progress(1.0)


def _honest(ran: Ran, env: Environment, first: int) -> Part | None:
    """The model that the server would send for round ``first``, as it stands in the run; None before any training."""
    if first == 1:
        return None
    return state_after(ran.protocol, env, ran.place, first - 1, ran.defense).parts.get("server/model")


def imprinted(env: Environment, division: Division, bins: int, root: int, honest: Part | None = None) -> Environment:
    """The federation to which the server sends a malicious model made from public records alone.

    ``bins``: how many parts its layer cuts the public records into. ``honest``: weights of the model behind the layer;
    None: those that everybody begins from.
    """
    data, training = env.dataset, env.settings.training
    public = normalised(torch.from_numpy(data.x_train[division.auxiliary])).flatten(1)

    def made(name: str, seed: Seed) -> nn.Module:
        (own, key), draw = seed, seeds.generator(root, "inversion", "imprint")
        inner = build(name, data.shape, len(data.classes), training.output, own, *key)
        if honest is not None:
            inner.load_state_dict(dict(honest))
        return malicious(inner, data.shape, public, bins, draw, training.local_steps == 1)

    return replace(env, workbench=Workbench(made, training, str(env.workbench.device)))


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
