"""From what an adversary received to copies of the clients' models, and what these answer on given records.

A passive receiver has the answers on the run's own public folds. A server that chooses the records also asks, in
alternative last rounds, about as many related records, and about as many unrelated ones: with a model that was trained
without any message between them, that tells how far theft rests on data like the clients' own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.received import Answer, answers
from fedprivacy.attacks.theft.copies import Aged, aged, answered, copied, unaided
from fedprivacy.data.raw import Array
from fedprivacy.data.records import Ids
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.wire.parties import client_index

HISTORY, LATEST = "all rounds, newest most", "last round alone"
RELATED, UNRELATED = "asked about related records", "asked about unrelated records"
UNAIDED = "trained without any message"


@dataclass(frozen=True, eq=False)
class Stolen:
    """Log-probabilities of copies on the records that they were asked about; NaN for a client nothing is known of.

    ``copies`` [clients, n, C] by way of copying, after the last round; the first is the headline. ``unaided`` [clients,
    n, C]: of the model that saw no message. ``course`` [points, clients, n, C]: of the headline's copies after the
    rounds ``points``. ``notes`` go with the findings.
    """

    copies: Mapping[str, Float]
    unaided: Float
    points: tuple[int, ...] = ()
    course: Float = field(default_factory=lambda: np.empty((0, 0, 0, 0)))
    notes: tuple[str, ...] = ()


def steal(view: View, knowledge: Knowledge, points: Sequence[int], queries: Array) -> Stolen:
    """Copies after each of the rounds ``points``, the last of which is the run's. ValueError without any answer."""
    given, starts = _by_client(view, answers(view)), unaided(knowledge, labelled_records(view))
    course = []
    for now in points:
        sets = {client: aged(told, knowledge, now) for client, told in given.items() if told[0].round <= now}
        course.append(_table(copied(sets, starts, knowledge, queries, f"history {now}"), knowledge, len(queries)))
    latest = {client: aged([told[-1]], knowledge, told[-1].round) for client, told in given.items()}
    alone = _table(copied(latest, starts, knowledge, queries, "latest"), knowledge, len(queries))
    number = max(sum(len(answer.records) for answer in told) for told in given.values())
    notes = (f"copies of the known architecture, distilled from {number} answers a client",)
    copies = {HISTORY: course[-1], LATEST: alone}
    return Stolen(copies, answered(starts, knowledge, queries), tuple(points), np.stack(course), notes)


def steal_by_asking(
    view: View, knowledge: Knowledge, related: Ids, unrelated: Ids, queries: Array, labelled: Ids
) -> Stolen:
    """Copies from answers on ``related`` and on ``unrelated`` records alone, asked for in the last round.

    The first transcript of ``view`` is the run up to then; ``knowledge.dataset`` holds both kinds of records, and
    ``labelled`` are those whose labels a server has anyway.
    """
    told = [answer for answer in answers(view) if answer.round == knowledge.wire.federation.rounds]
    found, starts = {}, unaided(knowledge, labelled)
    for name, wanted in ((RELATED, related), (UNRELATED, unrelated)):
        sets = {client: _only(own, wanted, knowledge) for client, own in _by_client(view, told).items()}
        found[name] = _table(copied(sets, starts, knowledge, queries, name), knowledge, len(queries))
    notes = (
        f"{len(related)} related and {len(unrelated)} unrelated records, asked about in alternative last rounds; "
        "unrelated: each input drawn at random from the related records' values of that input",
    )
    return Stolen(found, answered(starts, knowledge, queries), notes=notes)


def shuffled(x: Array, draw: np.random.Generator) -> Array:
    """Records [N, ...] that keep the distribution of each input and no relation between inputs."""
    flat = x.reshape(len(x), -1)
    order = draw.random(flat.shape).argsort(axis=0)
    return np.take_along_axis(flat, order, axis=0).reshape(x.shape)


def _by_client(view: View, told: Iterable[Answer]) -> dict[int, list[Answer]]:
    me = client_index(view.position) if view.position.startswith("client-") else None
    given: dict[int, list[Answer]] = {}
    for answer in told:
        if answer.client != me:
            given.setdefault(answer.client, []).append(answer)
    if not given:
        raise ValueError("no client's predictions are in sight")
    return given


def _only(own: Sequence[Answer], wanted: Ids, knowledge: Knowledge) -> Aged:
    """A client's answers on the records ``wanted``, each once."""
    left, parts = set(wanted.tolist()), []
    for answer in own:
        rows = np.array([i for i, record in enumerate(answer.records.tolist()) if record in left], dtype=np.int64)
        if len(rows):
            left -= set(answer.records[rows].tolist())
            payload = replace(answer.payload, values=answer.payload.values[rows])
            parts.append(replace(answer, records=answer.records[rows], payload=payload))
    return aged(parts, knowledge, knowledge.wire.federation.rounds)


def labelled_records(view: View) -> Ids:
    """Public records whose labels were delivered with them."""
    labelled = [fold.records for told in view.transcripts for fold in told.folds if fold.labelled]
    return np.unique(np.concatenate(labelled)) if labelled else np.empty(0, dtype=np.int64)


def _table(found: Mapping[int, Float], knowledge: Knowledge, n: int) -> Float:
    table = np.full((knowledge.wire.federation.clients, n, len(knowledge.dataset.classes)), np.nan)
    for client, logp in found.items():
        table[client] = logp
    return table
