"""Planted probes: an active server puts candidates into a public fold and reads each client's prediction of them.

Predictions are encoded before anybody trains on the fold, so a first exposure is clean; a record that stood in an
earlier fold is marked. Other clients of the federation answer too: they are references that never saw the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.received import answers, seen_before
from fedprivacy.interfaces import Knowledge, Observed
from fedprivacy.threat import View


@dataclass(frozen=True)
class Probes:
    """Rounds axis: the rounds in which any candidate was seen, in order."""

    name: ClassVar[str] = "planted probes"

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
        place = {int(record): i for i, record in enumerate(ids)}
        told = [a for a in answers(view) if any(int(r) in place for r in a.records)]
        rounds = sorted({answer.round for answer in told})
        clients, classes = knowledge.config.clients, len(knowledge.dataset.classes)
        logp = np.full((clients, len(rounds), len(ids), classes), np.nan)
        floor: dict[str, int] = {}
        for answer in told:
            rows, places = _positions(answer.records, place)
            values = answer.payload.values.numpy()[rows]
            labels = knowledge.dataset.y_train[answer.records[rows]]
            decoded, clamped = decode(values, answer.payload.form, classes=classes, labels=labels)
            logp[answer.client, rounds.index(answer.round), places] = decoded
            for name, count in clamped.items():
                floor[name] = floor.get(name, 0) + count
        seen = ~np.isnan(logp).any(axis=(0, 3))
        first = seen_before(view)
        clean = np.array([[first.get(int(record), t) >= t for record in ids] for t in rounds]).reshape(seen.shape)
        n = len(knowledge.candidates)
        return Observed(
            logp[:, :, :n], seen[:, :n], clean[:, :n], logp[:, :, n:] if len(knowledge.auxiliary) else None, floor
        )


def _positions(records: np.ndarray, place: dict[int, int]) -> tuple[list[int], list[int]]:
    found = [(row, place[int(record)]) for row, record in enumerate(records) if int(record) in place]
    return [row for row, _ in found], [position for _, position in found]
