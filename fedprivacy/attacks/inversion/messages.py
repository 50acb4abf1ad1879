"""Updates in a view: who sent what, from which weights, trained on how many records. No record is in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.inversion.knowledge import Start
from fedprivacy.attacks.membership.models_on_wire import broadcast_models, uploads
from fedprivacy.federation.environment import Part, round_half_up
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.payload import Scalars

EVERYBODY = -1
"""The client number of a mean over all clients."""
REMEMBERED, NEWEST = 32, 4
"""Rounds whose starts are remembered, and starts that another client's is looked for among."""


@dataclass(frozen=True, eq=False)
class Sent:
    """One update: ``change`` of the tensors that were sent, from the whole model ``before``.

    ``number`` counts a client's rounds, or its uploads where clients work at their own speed. ``records``: on how many
    the client trains, as it said or as the settings let expect; ``merged``: clients in a mean.
    """

    round: int
    client: int
    number: int
    before: Part
    change: Mapping[str, Tensor]
    records: int
    merged: int = 1
    earlier: tuple[Start, ...] | None = None
    """Where the sender's earlier updates began, where those of all its rounds are in sight; None: not told."""

    @property
    def first(self) -> bool:
        """Whether it is the sender's first."""
        return self.number == 1


def client_updates(view: View, knowledge: Knowledge, names: frozenset[str]) -> Iterator[Sent]:
    """Each client's updates of the parameters ``names``, in transcript order; none of unknown starting weights."""
    told, me = view.transcripts[0], view.position
    counts, by_job = _record_counts(view), knowledge.wire.model is not None and knowledge.wire.model.by_job
    uploaded: Counter[int] = Counter()
    seen: dict[int, set[str]] = {}
    starts = _Starts() if knowledge.settings.training.optimizer_state == "persistent" else None
    for round, client, before, after in uploads(told, knowledge.start):
        uploaded[client] += 1
        new = set(after) - seen.setdefault(client, set())
        sent = new or set(after)
        seen[client] |= set(after)
        if f"client-{client}" == me or not names <= set(before):
            continue
        change = {name: after[name].double() - before[name].double() for name in sent if name in names}
        number = uploaded[client] if by_job else round
        records = counts.get((round, client), nominal_records(knowledge))
        earlier = None if starts is None else starts.before(client, number, before)
        yield Sent(round, client, number, before, change, records, earlier=earlier)


class _Starts:
    """Where each client's updates began, up to :data:`REMEMBERED` of them; weights of equal bits are one start."""

    def __init__(self) -> None:
        self._of: dict[int, list[Start]] = {}
        self._newest: list[Start] = []

    def before(self, client: int, number: int, start: Part) -> tuple[Start, ...] | None:
        """Those of the updates before update ``number``, which begins from ``start``; None where some are missing."""
        own = self._of.setdefault(client, [])
        if len(own) != number - 1 or number > REMEMBERED:
            return None
        told = tuple(own)
        found = next((one for one in self._newest if same_bits(one.weights, start)), None) or Start(start)
        self._newest = [found, *(one for one in self._newest if one is not found)][:NEWEST]
        own.append(found)
        return told


def mean_updates(view: View, knowledge: Knowledge, names: frozenset[str]) -> Iterator[Sent]:
    """The mean update of each round, from what the server broadcast; ``client`` is :data:`EVERYBODY`."""
    if knowledge.start is None:
        return
    before, merged = dict(knowledge.start), knowledge.wire.federation.together
    receiver = view.position if view.position != SERVER else None
    for model in broadcast_models(view.transcripts[0], False, receiver, knowledge.start):
        if names <= set(model.weights):
            change = {name: model.weights[name].double() - before[name].double() for name in names}
            yield Sent(model.round, EVERYBODY, model.round, before, change, nominal_records(knowledge), merged)
        before = {**before, **model.weights}


def nominal_records(knowledge: Knowledge) -> int:
    """Expected records of one client's training: pool times inclusion, over the folds of a fresh schedule."""
    told = knowledge.settings
    folds = told.rounds if told.data.schedule == "fresh" or told.data.layout == "folds" else 1
    pool = len(knowledge.candidates) / told.clients
    return max(1, round_half_up(pool * told.data.inclusion / folds))


def of_one_start(sent: list[Sent]) -> list[list[Sent]]:
    """The same updates in groups that began from the same weights, in order of first appearance."""
    groups: list[list[Sent]] = []
    for one in sent:
        home = next((g for g in groups if g[0].before is one.before or same_bits(g[0].before, one.before)), None)
        groups.append([one]) if home is None else home.append(one)
    return groups


def whole(change: Mapping[str, Tensor], like: Part, names: frozenset[str]) -> dict[str, Tensor]:
    """``change`` with zeros for the parameters that were not sent."""
    return {name: change.get(name, torch.zeros_like(like[name], dtype=torch.float64)) for name in names}


def _record_counts(view: View) -> dict[tuple[int, int], int]:
    """(round, client) -> the number of records that the client said it has."""
    told = view.transcripts[0]
    found = {}
    for message in told.messages:
        if message.kind == Scalars.kind and message.purpose == "n_k" and message.sender != SERVER:
            payload = told.payload(message)
            assert isinstance(payload, Scalars)
            found[message.round, client_index(message.sender)] = int(payload.tensors["records"])
    return found
