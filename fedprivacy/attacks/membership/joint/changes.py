"""Changes of weights in a view: whose local training, from which weights to which, in the order that they were seen.

A client's upload is a change from the weights that it last received, where those are one model: whoever was passed on
the models of several goes on from a mixture that nobody else knows. Where no upload can be read (masked sums, a peer
behind a server), two consecutive broadcasts are a change by the mean of all clients, or of those who are seen to say
anything else in the round; a peer takes its own part off. A peer is not sent the model of every round where it sits
some out: what lies between two that it was sent is one change then, from the older one. Weights that travel in groups
are changes of those tensors alone.

Where clients come and go one by one, a peer is told neither who came in between two models that it was sent, nor how
late, nor its own share. Mixing ``g' = (1 - a) g + a w`` would tell ``w`` exactly of one that came in alone; several in
an unknown order, from models that the peer was not sent, have no such equation. So all others are played, once each,
from the model that the peer was sent, its own part is taken off as one of as many, and what that leaves is noise. What
can be told exactly is: a model that moved along the peer's own part alone, or not at all, says nothing of others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fedprivacy.adversary.threat import View
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation.environment import Part
from fedprivacy.federation.local_training import MixesModels
from fedprivacy.wire.parties import SERVER, client_index, client_name
from fedprivacy.wire.payload import Payload, Update, Weights
from fedprivacy.wire.transcript import Message, Transcript

CHANGES = (Weights.kind, Update.kind)

ALONE = 1e-4
"""Share of a broadcast's change, in L2, below which what is not along its receiver's own part is rounding."""


@dataclass(frozen=True)
class Sure:
    """What is known of a change beside its ends: the ``rounds`` that it took, and whether ``clients`` are those who
    trained, and not all who may have."""

    rounds: int = 1
    clients: bool = True


def doubts(changes: Sequence[Sure]) -> tuple[str, ...]:
    """In words, what nobody told of some changes."""
    found = []
    if not all(change.clients for change in changes):
        found.append("who took part in a round is not told: all other clients are played in each")
    if long := sum(change.rounds > 1 for change in changes):
        found.append(f"{long} of {len(changes)} changes took rounds that were not seen: each is played as one round")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Change:
    """Local training of ``clients`` (the mean of it, where there are several) from ``start`` to ``end``.

    ``received``: by client, what it was sent since its last change that was seen, to be put in the place of what it
    held. ``start`` and ``end`` have the same names, floating-point tensors alone.
    """

    round: int
    clients: tuple[int, ...]
    received: Mapping[int, Part]
    start: Part
    end: Part
    sure: Sure = Sure()


def changes(
    view: View,
    start: Mapping[int, Part],
    settings: FederationSettings,
    mixing: MixesModels | None = None,
    by_job: bool = False,
) -> Iterator[Change]:
    """All changes that ``view`` shows: each client's own where any upload can be read, else those of all together.

    ``start``: the weights that each client began from, empty where they are not known. ``mixing``: the protocol, where
    its clients mix what they hear: whoever sees all that a client heard knows its next start. ``by_job``: whether
    clients come and go one by one, so that a broadcast is not of those who took part in its round.
    """
    told = view.transcripts[0]
    own = view.position if view.position.startswith("client-") else None
    readable = [m for m in told.messages if m.kind in CHANGES]
    if any(m.author not in (SERVER, own) for m in readable):
        known = _mixes_known(view.position, settings) if mixing is not None else frozenset[int]()
        return _uploads(told, readable, start, settings, mixing, known)
    return _broadcasts(told, readable, start, own, settings, by_job)


def _mixes_known(position: str, settings: FederationSettings) -> frozenset[int]:
    """The clients of which ``position`` sees every model that they mix: it hears them and all of their neighbours."""
    if not position.startswith("client-"):
        return frozenset(range(settings.clients))
    own, graph = client_index(position), settings.graph
    heard = {own, *graph.neighbours(own)}
    return frozenset(client for client in heard if heard.issuperset(graph.neighbours(client)))


def _uploads(
    told: Transcript,
    readable: Sequence[Message],
    start: Mapping[int, Part],
    settings: FederationSettings,
    mixing: MixesModels | None,
    mixes_known: Collection[int],
) -> Iterator[Change]:
    clients = list(start)
    held = {client: dict(part) for client, part in start.items()}
    fresh = {client: dict(part) for client, part in start.items()}
    authors: dict[int, set[str]] = {client: set() for client in clients}
    first_hand = {(m.round, m.author) for m in readable if not m.passed_on}
    rounds = {number: list(messages) for number, messages in groupby(readable, key=lambda m: m.round)}
    for number in range(min(1, *rounds), max(rounds) + 1):
        said: dict[int, Part] = {}
        for message in rounds.get(number, ()):
            if message.sender == SERVER:
                client = client_index(message.receiver)
                authors[client].add(message.author)
                news = _after(held[client], told.payload(message))
                one = len(authors[client]) == 1
                held[client] = {**held[client], **news} if one else {}
                fresh[client] = {**fresh[client], **news} if one else {}
            if message.author == SERVER or (message.passed_on and (number, message.author) in first_hand):
                continue
            client = client_index(message.author)
            if client not in said or message.receiver == SERVER:
                payload = told.payload(message)
                found = _change(number, client, held[client], fresh[client], payload)
                said[client] = {n: t.float() for n, t in _after(held[client], payload).items() if t.is_floating_point()}
                fresh[client] = {}
                authors[client] = set()
                if message.passed_on:
                    held[client] = {}
                if found is not None:
                    yield found
        if mixing is not None:
            for client in clients:
                if client in said:
                    heard = {peer: said[peer] for peer in settings.graph.neighbours(client) if peer in said}
                    mixes = client in mixes_known
                    held[client] = dict(mixing.mixed(settings, client, said[client], heard)) if mixes else {}
                    fresh[client] = dict(held[client])
                elif settings.dropout_rate:  # it may have trained, and was not heard
                    held[client] = fresh[client] = {}


def _broadcasts(
    told: Transcript,
    readable: Sequence[Message],
    start: Mapping[int, Part],
    own: str | None,
    settings: FederationSettings,
    by_job: bool,
) -> Iterator[Change]:
    """Consecutive broadcasts as one change each; of several receivers in a round the first is followed."""
    clients = list(start)
    others = [client for client in clients if client_name(client) != own]
    held, since = dict(start[clients[0]]), 0
    fresh = dict(held)
    for number, group in groupby(readable, key=lambda m: m.round):
        messages = list(group)
        follower = own or next((m.receiver for m in messages if m.author == SERVER), None)
        authors = {m.author for m in told.messages if m.round == number} - {SERVER, own}
        part = [client for client in others if client_name(client) in authors] or others
        together = len(authors) + 1 if authors else settings.together
        mine: Part | None = None
        for message in messages:
            if message.sender != SERVER:
                mine = _after(held, told.payload(message))
            elif message.receiver == follower:
                news = _after(held, told.payload(message))
                names = [name for name in _floating(news) if name in held]
                end = {name: news[name] for name in names}
                if by_job and not _tells_of_others(held, end, mine):
                    held, fresh = {**held, **news}, dict(news)
                    continue
                if mine is not None and together > 1:
                    share = 1 / together
                    end = {n: (t - share * mine[n]) / (1 - share) for n, t in end.items()}
                if names and part and (mine is None or together > 1):
                    received = {client: fresh for client in part}
                    everybody = settings.together == len(clients) and not settings.dropout_rate
                    sure = Sure(max(1, number - since), (bool(authors) or everybody) and not by_job)
                    yield Change(number, tuple(part), received, {name: held[name] for name in names}, end, sure)
                held, since = {**held, **news}, number
                fresh = dict(news)


def _tells_of_others(start: Part, end: Part, mine: Part | None) -> bool:
    """Whether a broadcast moved otherwise than along what its receiver had sent, ``mine``.

    Where clients come and go one by one, nothing else may have come in since the last, and a share of its own says
    nothing of anybody else.
    """
    moved = {name: (t - start[name]).double() for name, t in end.items()}
    size = _product(moved, moved)
    if mine is None or not size:
        return size > 0
    own = {name: (mine[name] - start[name]).double() for name in end if name in mine}
    along = _product(moved, own) ** 2 / max(_product(own, own), 1e-300)
    return size - along > ALONE**2 * size


def _product(one: Part, other: Part) -> float:
    return sum(float((one[name] * t).sum()) for name, t in other.items())


def _change(number: int, client: int, held: Part, fresh: Part, payload: Payload) -> Change | None:
    after = _after(held, payload)
    names = [name for name in _floating(after) if name in held]
    if not names:
        return None
    return Change(number, (client,), {client: fresh}, {n: held[n] for n in names}, {n: after[n].float() for n in names})


def _after(held: Part, payload: Payload) -> Part:
    """The tensors that a payload names, after it."""
    if isinstance(payload, Weights):
        return payload.tensors
    assert isinstance(payload, Update)
    return {name: held[name] + t for name, t in payload.tensors.items() if name in held}


def _floating(part: Part) -> list[str]:
    return [name for name, tensor in part.items() if tensor.is_floating_point()]
