"""What one client did between two of its uploads, by the protocol's course and what an adversary saw of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.unrolled.told import heard
from fedprivacy.federation.course import Event, Heard, TakeOver, TellsCourse, Upload
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import Message


@dataclass(frozen=True, eq=False)
class Stretch:
    """What a client does between two uploads, and the ``names`` of the tensors that it then sends."""

    events: Sequence[Event]
    names: frozenset[str]


@dataclass(frozen=True, eq=False)
class Told:
    """What an adversary knows of one client, by round: what it ``heard``, what it ``sent`` of its weights, as far as
    either is in sight, and the ``names`` of the tensors that clients send."""

    heard: Mapping[int, Heard]
    sent: Mapping[int, Part]
    names: Mapping[int, frozenset[str]]

    def with_renewed(self, round: int, said: Mapping[int, Predictions]) -> Told:
        """The same with newer predictions of some peers in the place of those that it heard in ``round``."""
        one = self.heard[round]
        return replace(self, heard={**self.heard, round: replace(one, predictions={**one.predictions, **said})})


def stretches(protocol: TellsCourse, told: Told) -> Iterator[tuple[int, Stretch]]:
    """Every round in which the client sent weights, with what it did since the upload before."""
    events: list[Event] = []
    for event in protocol.course(told.heard):
        if not isinstance(event, Upload):
            events.append(event)
            continue
        if event.round in told.names:
            yield event.round, Stretch(events, told.names[event.round])
        events = [TakeOver(told.sent.get(event.round, {}))]


def told_of_all(view: View, knowledge: Knowledge) -> dict[int, Told]:
    """What ``view`` tells of each client."""
    names: dict[int, set[str]] = {}
    sent: dict[str, dict[int, Mapping[str, Tensor]]] = {}
    for message in view.transcripts[0].messages:
        if message.kind != Weights.kind:
            continue
        payload = view.transcripts[0].payload(message)
        assert isinstance(payload, Weights)
        names.setdefault(message.round, set()).update(payload.tensors)
        if message.author != SERVER:
            sent.setdefault(message.author, {})[message.round] = payload.tensors
    every = {round: frozenset(found) for round, found in names.items()}
    return {
        client: Told(_heard(view, client, knowledge), sent.get(client_name(client), {}), every)
        for client in range(knowledge.settings.clients)
    }


def _heard(view: View, client: int, knowledge: Knowledge) -> dict[int, Heard]:
    """What ``client`` was told; it took part where it sent anything, or where nobody's own messages are in sight."""
    sent = [m for m in view.transcripts[0].messages if m.author != SERVER]
    told = heard(view, client, knowledge.dataset, knowledge.wire.in_turn)
    return {round: replace(one, answered=_took_part(sent, round, client, view)) for round, one in told.items()}


def _took_part(sent: Iterable[Message], round: int, client: int, view: View) -> bool:
    authors = {m.author for m in sent if m.round == round} - {view.position}
    return not authors or client_name(client) in authors
