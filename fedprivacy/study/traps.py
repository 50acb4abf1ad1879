"""Alternative rounds in which a dishonest server lays traps: one run for as many candidates as a layer has rows for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.traps.layer import trap_layer
from fedprivacy.attacks.membership.traps.model import HEAD
from fedprivacy.attacks.membership.traps.plan import forgeries
from fedprivacy.attacks.membership.traps.rounds import Episode, Travels, travels
from fedprivacy.attacks.membership.traps.served import JUDGED_ON, Served
from fedprivacy.config.base import UsageError
from fedprivacy.data.records import Ids
from fedprivacy.federation.dishonest import alternative_rounds, state_after
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import prepared
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolved import Study
from fedprivacy.training.learner import Diverged
from fedprivacy.wire.log import Contents
from fedprivacy.wire.transcript import Transcript

FOLDER = "traps"
"""Where the alternatives' messages lie until they have been read."""


def lay_traps(ran: Ran, adversary: Adversary, knowledge: Knowledge) -> list[Transcript]:
    """The honest run, and one transcript for each alternative. ValueError where no trap can be laid.

    What is sent is decided from the adversary's view of the honest run.

    Where each round has private records of its own, their candidates are asked about in that round; those of the
    first are not, since the server had sent nothing then.
    """
    (honest,) = view_of([ran.done.transcript], adversary).transcripts
    served, protocol, defense = Served(knowledge, honest), ran.protocol, ran.defense
    env = prepared(ran.env, defense)
    hidden = knowledge.wire.defended.hides_each
    layers = travels(honest, lambda client: (served.layer(client).weight, served.layer(client).bias), apart=hidden)
    heads = travels(honest, lambda client: (HEAD,))
    store = Contents(ran.place / FOLDER / "contents.bin")
    transcripts = [ran.done.transcript]
    for when, asked in _questions(layers, env, served):
        episode = heads.beginning(when)
        state = state_after(protocol, env, ran.place, episode.first - 1, defense)
        try:
            for forge in forgeries(served, knowledge, episode, asked):
                transcripts.append(
                    alternative_rounds(protocol, env, state, episode.last, forge, store, defense, honest_last=hidden)
                )
        except (UsageError, Diverged) as error:
            raise ValueError(f"clients could not work with a model with traps in it: {error}") from None
    return transcripts


def check_room(study: Study, env: Environment) -> None:
    """Raise UsageError where a dishonest server could do nothing but lay traps, and some client's model has no room."""
    wire, sample = study.wire, env.dataset.x_train[:JUDGED_ON]
    for adversary in study.seats.observers:
        names = study.seats.observed_by(adversary)
        if not all(getattr(study.observation(name), "reads_traps", False) for name in names):
            continue
        for architecture in sorted(set(map(wire.travelling, range(env.clients)))):
            try:
                trap_layer(env.workbench.module(architecture), sample)
            except ValueError as error:
                start = f"--adversary {adversary.name}: model {architecture}"
                raise UsageError(f"{start}: {error}; use another model, or --adversary server.") from None


def remove_traps(place: Path) -> None:
    """Remove what :func:`lay_traps` left in ``place``: a stored run plays it again from its checkpoint."""
    shutil.rmtree(place / FOLDER, ignore_errors=True)


def _questions(found: Travels, env: Environment, served: Served) -> Iterator[tuple[Episode, Ids]]:
    """When to ask, and about whom: positions in ``served.ids``."""
    folds = env.division.candidates
    every = np.arange(len(served.candidates))
    if all(len(own) == 1 for own in folds):
        yield found.last_episode(), every
        return
    for number in range(2, env.rounds + 1):
        trained = np.concatenate([own[min(number, len(own)) - 1] for own in folds])
        yield found.episode_of(number), every[np.isin(served.ids[: len(every)], trained)]
