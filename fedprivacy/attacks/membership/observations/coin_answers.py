"""Predictions under noise that is known, where all records of a client hang on one coin: the likelihood ratio.

Either world is replayed: what the client was sent is known, so its answers follow from the half that it trained on,
round after round. With what the defense would make of both, but for its noise, the log-likelihood of what was sent
under one world less that under the other is the best test there is (Neyman and Pearson 1933), and rounds add up. It is
exact where noisy numbers leave as they are; where they are first brought back to a distribution (``project``), or where
the order of batches decides, it is a test like others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.joint.coins import ASSUMED, DRAWN_START, needs_all_halves, scored
from fedprivacy.attacks.membership.received import Answer, answers
from fedprivacy.attacks.membership.unrolled.readings import sent_for
from fedprivacy.attacks.membership.unrolled.situation import Course, course
from fedprivacy.data.coins import units
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense, WeighsAnswers
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.training.learner import Records
from fedprivacy.wire.parties import client_index, client_name
from fedprivacy.wire.payload import Predictions


@dataclass(frozen=True)
class CoinAnswers:
    """Sources are the clients; all rounds are one score."""

    name: ClassVar[str] = "likelihood ratio of predictions"
    needs_courses: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """Log-odds [clients, 1, n] of each client's coin. ValueError where no noise is known, no course told, or a
        half or whose it is is not known."""
        needs_all_halves(knowledge)
        own = client_index(view.position) if view.position.startswith("client-") else None
        told: dict[int, list[Answer]] = {}
        for answer in answers(view):
            if answer.client != own:
                told.setdefault(answer.client, []).append(answer)
        doubts: dict[str, None] = {}
        odds, defense = np.zeros(knowledge.settings.clients), _defense(knowledge)
        for client, given in told.items():
            followed = course(view, knowledge, client, given)
            doubts |= dict.fromkeys(followed.doubts)
            odds[client] = _log_ratio(followed, knowledge, client, defense)
        if knowledge.rules is None or not told:
            raise ValueError("no client answered anything")
        notes = (DRAWN_START if knowledge.starts is None else ASSUMED, *doubts)
        return scored(odds, set(told), knowledge, knowledge.rules, notes)


def _defense(knowledge: Knowledge) -> WeighsAnswers:
    """The defense as everybody knows it, calibrated to the federation."""
    if knowledge.rules is None:
        raise ValueError("nobody said how the protocol works")
    division, root = knowledge.rules.division, seeds.value(knowledge.root, "coin answers")
    env = Environment(knowledge.settings, root, knowledge.dataset, division, division.candidates, knowledge.workbench)
    found: object = knowledge.rules.defense(env)
    if not isinstance(found, WeighsAnswers):
        raise ValueError("this reading is of predictions with noise of a known law")
    return found


def _log_ratio(followed: Course, knowledge: Knowledge, client: int, defense: WeighsAnswers) -> float:
    """Of the coin of ``client``, all of its answers together."""
    division, data = followed.rules.division, knowledge.dataset
    _, side = units(division, knowledge.wire.coins)[client]
    quiet, ends = defense.silent(), np.cumsum([len(fold) for fold in division.candidates[client]])
    worlds = []
    for number in (1, -1):
        folds = [
            fold[side[end - len(fold) : end] == number]
            for fold, end in zip(division.candidates[client], ends, strict=True)
        ]
        root = seeds.value(knowledge.root, "coin answers", client, number)
        logits = followed.replay.answers(
            [Records(data.x_train[ids], data.y_train[ids]) for ids in folds],
            followed.asked,
            lambda event: (root, (type(event).__name__, event.round)),  # noqa: B023
        )
        worlds.append({t: _left(quiet, found, followed, client, t) for t, found in logits.items()})
    return sum(
        defense.log_ratio(payload.values, worlds[0][t].values, worlds[1][t].values)
        for t, payload in followed.payloads.items()
    )


def _left(quiet: Defense, logits: Tensor, followed: Course, client: int, round: int) -> Predictions:
    """What would have left the client for its ``logits``, but for the noise."""
    plain = sent_for(logits, followed.labels[round], followed.payloads[round].form)
    left = quiet.outgoing(plain, client_name(client), round)
    assert isinstance(left, Predictions)
    return left
