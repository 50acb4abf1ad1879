"""Surrogate models distilled from shared predictions: what an honest-but-curious receiver can do.

For each client, collect (public record, prediction) over all rounds and distil a model of the known architecture:
``KL(victim || surrogate)`` at temperature 1, Adam, fresh weights from one seed for all. Query it on the candidates.
Candidates never stand in the distillation set. (Jagielski et al. 2023, arXiv 2303.03446, for the idea that a student
carries its teacher's membership signal.)

Who sees no single client's predictions distils the consensus, as far as it can be undone: a peer under FedMD or DS-FL
gets the others' mean and can only say "some other client". Its own predictions give one more reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fedprivacy.adversary.threat import EAVESDROPPER, Float, View
from fedprivacy.attacks.membership import consensus
from fedprivacy.attacks.membership.decode import HARD_LABEL, UNIFORM_REST
from fedprivacy.attacks.membership.distillation import DistillationSet, collected, distilled
from fedprivacy.attacks.membership.received import Answer, aggregates, answers
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.wire.parties import client_index
from fedprivacy.wire.payload import Predictions

WIRE_ROUNDING = 1e-8
"""Smallest probability of a recovered mean: a difference of two float32 numbers near 1 holds no smaller one."""


@dataclass(frozen=True)
class Surrogate:
    """One surrogate a client, or one of the consensus; the rounds axis has length 1."""

    name: ClassVar[str] = "distilled surrogate"

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        known = set(np.concatenate([knowledge.candidates, knowledge.auxiliary]).tolist())
        told: dict[int, list[Answer]] = {}
        for answer in answers(view):
            told.setdefault(answer.client, []).append(answer)
        me = client_index(view.position) if view.position.startswith("client-") else None
        if set(told) - {me} or not any(True for _ in aggregates(view)):
            sets = {client: collected(given, knowledge, known) for client, given in told.items()}
            return _by_client(sets, knowledge, view.position)
        return _of_consensus(view, told.get(-1 if me is None else me, []), me, knowledge, known)


def _by_client(sets: Mapping[int, DistillationSet], knowledge: Knowledge, position: str) -> Observed:
    ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
    classes, clients = len(knowledge.dataset.classes), knowledge.settings.clients
    logp = np.full((clients, 1, len(ids), classes), np.nan)
    for client, answered in distilled(sets, knowledge, ids).items():
        logp[client, 0] = answered
    size = max((len(given.x) for given in sets.values()), default=0)
    notes = [f"surrogates distilled from {size} predictions a client, no candidate among them"]
    if position == EAVESDROPPER:
        notes.append("the channel is not encrypted and the public records are known")
    return _observed(logp, knowledge, [given.floor for given in sets.values()], notes)


def _of_consensus(
    view: View, mine: Sequence[Answer], me: int | None, knowledge: Knowledge, known: set[int]
) -> Observed:
    """One source: the consensus, or the others' mean where it can be told apart; own predictions as a reference."""
    ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
    own = {answer.round: answer for answer in mine}
    sent, undone = [], True
    for answer in aggregates(view):
        values = _without_own(answer, own.get(answer.round), knowledge)
        undone = undone and values is not None
        sent.append(answer if values is None else _replaced(answer, values))
    given = collected(sent, knowledge, known)
    logp = distilled({me or 0: given}, knowledge, ids)[me or 0][None, None]
    what = "the others' mean, recovered from the consensus" if undone else "the consensus, which mixes all clients"
    notes = [f"one surrogate distilled from {len(given.x)} predictions: {what}"]
    reference = None
    if mine and me is not None:
        theirs = collected(mine, knowledge, known)
        reference = distilled({me: theirs}, knowledge, ids)[me][None, None]
    return _observed(logp, knowledge, [given.floor], notes, reference)


def _without_own(answer: Answer, own: Answer | None, knowledge: Knowledge) -> Float | None:
    """The others' mean behind a consensus [N, columns]; None where it cannot be told apart."""
    wire = knowledge.wire
    if wire.consensus is not None and wire.consensus.of == "mean of others":
        return answer.payload.values.double().numpy()
    mean, number = consensus.undone(answer.payload.values.double().numpy(), wire), wire.heads
    if mean is None or own is None or number is None or number < 2:
        return None
    found = consensus.others(mean, own.payload.values.double().numpy(), number)
    if answer.payload.form == "probabilities":
        found = np.clip(found, WIRE_ROUNDING, 1.0 if found.shape[1] > 1 else 1 - WIRE_ROUNDING)
    return found


def _replaced(answer: Answer, values: Float) -> Answer:
    payload = Predictions(torch.from_numpy(values), answer.payload.form)
    return Answer(answer.round, answer.client, answer.records, answer.labelled, payload, answer.purpose)


def _observed(
    logp: Float,
    knowledge: Knowledge,
    floors: Iterable[Mapping[str, int]],
    notes: Sequence[str],
    reference: Float | None = None,
) -> Observed:
    n, has_population = len(knowledge.candidates), len(knowledge.auxiliary) > 0
    floor: dict[str, int] = {}
    for one in floors:
        for name, count in one.items():
            floor[name] = floor.get(name, 0) + count
    # What was received had no probabilities, or only one; the surrogate's own answers are whole.
    for name in (HARD_LABEL, UNIFORM_REST):
        floor.pop(name, None)
    seen = np.asarray((~np.isnan(logp).any(axis=3)).any(axis=0))
    return Observed(
        logp[:, :, :n],
        seen[:, :n],
        np.ones((1, n), dtype=bool),
        logp[:, :, n:] if has_population else None,
        floor,
        tuple(notes),
        None if reference is None else reference[:, :, :n],
        None if reference is None or not has_population else reference[:, :, n:],
    )
