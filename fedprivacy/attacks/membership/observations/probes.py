"""Planted probes: an active server puts candidates into a public fold and reads each client's prediction of them.

Predictions are encoded before anybody trains on the fold, so a first exposure is clean; a record that stood in an
earlier fold is spent and marked. Other clients of the federation answer too: they are references that never saw the
candidate. Where the statistic ``distil-lira`` is asked for by name, surrogates of each client are distilled from its
answers on random parts of the public records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.decode import decode_sent
from fedprivacy.attacks.membership.distillation import collected, distilled
from fedprivacy.attacks.membership.received import Answer, answers, seen_before
from fedprivacy.data.records import Ids
from fedprivacy.federation.knowledge import Knowledge, Observed

SURROGATES, PART = 16, 0.8
"""Surrogates of one client for ``distil-lira``, and the part of the public records that each is distilled from."""


@dataclass(frozen=True)
class Probes:
    """Rounds axis: the rounds in which any candidate was seen, in order."""

    name: ClassVar[str] = "planted probes"
    reads_planted: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
        place = {int(record): i for i, record in enumerate(ids)}
        told = [a for a in answers(view, place) if any(int(r) in place for r in a.records)]
        rounds = sorted({answer.round for answer in told})
        clients, classes = knowledge.settings.clients, len(knowledge.dataset.classes)
        logp = np.full((clients, len(rounds), len(ids), classes), np.nan)
        floor: dict[str, int] = {}
        for answer in told:
            rows, places = _positions(answer.records, place)
            labels = knowledge.dataset.y_train[answer.records[rows]]
            values, form = answer.payload.values.numpy(), answer.payload.form
            decoded, clamped = decode_sent(values, form, rows, labels=labels, classes=classes)
            logp[answer.client, rounds.index(answer.round), places] = decoded
            for name, count in clamped.items():
                floor[name] = floor.get(name, 0) + count
        seen = np.asarray((~np.isnan(logp).any(axis=3)).any(axis=0))
        first = seen_before(view)
        clean = np.array([[first.get(int(record), t) >= t for record in ids] for t in rounds], dtype=np.bool_)
        clean = clean.reshape(seen.shape)
        n = len(knowledge.candidates)
        return Observed(
            logp[:, :, :n],
            seen[:, :n],
            clean[:, :n],
            logp[:, :, n:] if len(knowledge.auxiliary) else None,
            floor,
            _notes(view, told, seen[:, :n], clean[:, :n], n if knowledge.known is None else int(knowledge.known.sum())),
            surrogate_logp=_surrogates(view, knowledge) if "distil-lira" in knowledge.attack.statistics else None,
        )


def _positions(records: NDArray[np.int64], place: dict[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = [(row, place[int(record)]) for row, record in enumerate(records) if int(record) in place]
    rows, places = zip(*found, strict=True)
    return np.array(rows, dtype=np.int64), np.array(places, dtype=np.int64)


def _notes(
    view: View, told: Sequence[Answer], seen: NDArray[Any], clean: NDArray[Any], candidates: int
) -> tuple[str, ...]:
    """How many folds the answers took, and what of the known ``candidates`` was spent or never seen."""
    notes = []
    if len(view.transcripts) > 1 and told:
        folds, room = len({id(a.records) for a in told}), max(len(a.records) for a in told)
        notes.append(f"{folds} alternative last folds; one real run has room for {room} probes in its last round")
    fresh = int((seen & clean).any(axis=0).sum())
    if told and fresh < candidates:
        notes.append(f"{fresh} of {candidates} candidates were planted in time to be seen clean")
    spent = int((seen & ~clean).any(axis=0).sum())
    if spent:
        notes.append(f"{spent} candidates were seen again after training on them; those answers are left out")
    return tuple(notes)


def _surrogates(view: View, knowledge: Knowledge) -> Float:
    """[clients, S, candidates, C]: surrogates of each client, NaN for a client that never answered."""
    known = set(np.concatenate([knowledge.candidates, knowledge.auxiliary]).tolist())
    told: dict[int, list[Answer]] = {}
    for answer in answers(view):
        told.setdefault(answer.client, []).append(answer)
    n, classes = len(knowledge.candidates), len(knowledge.dataset.classes)
    found = np.full((knowledge.settings.clients, SURROGATES, n, classes), np.nan)
    whole = {client: collected(given, knowledge, known) for client, given in told.items()}
    drawn = {client: seeds.numpy_generator(knowledge.root, "surrogates", client) for client in whole}
    for number in range(SURROGATES):
        sets = {client: one.part(_some(len(one.x), drawn[client])) for client, one in whole.items() if len(one.x)}
        answered = distilled(sets, knowledge, knowledge.candidates, f"surrogate {number}")
        for client, logp in answered.items():
            found[client, number] = logp
    return found


def _some(number: int, draw: np.random.Generator) -> Ids:
    """A random part of ``number`` rows, in order."""
    return np.sort(draw.permutation(number)[: max(1, int(PART * number))])
