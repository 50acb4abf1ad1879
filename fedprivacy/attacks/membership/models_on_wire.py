"""Reading models out of a view: uploaded weights, updates on the weights they start from, and what is broadcast.

An update is decoded exactly as its receiver does and added to its base: the weights that its sender last received, or
the common start. Groups of layers that travel in turn are put together, each at its newest value. What a server passes
on under a client's name is that client's; whoever hears it from the server alone does not see what the client was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from fedprivacy.federation.environment import Part
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.payload import Payload, Update, Weights
from fedprivacy.wire.transcript import Message, Transcript


@dataclass(frozen=True, eq=False)
class Received:
    """The newest weights known of one source after a round. Client -1: what the server broadcast to ``holder``."""

    round: int
    client: int
    weights: Mapping[str, Tensor]
    holder: int
    """Whose architecture it is."""


Upload = tuple[int, int, Part, Part]
"""Round, client, weights before local training, weights after it."""


def uploaded_models(transcript: Transcript, last_only: bool, start: Part | None = None) -> Iterator[Received]:
    """Each client's model as it sent it, by round; with ``last_only`` the newest of each, all at the last round.

    A source that sends groups of layers is complete only once each group has come; the caller checks.
    """
    by_round: dict[int, dict[int, Part]] = {}
    known: dict[int, Part] = {}
    updates = any(m.kind == Update.kind and m.author != SERVER for m in transcript.messages)
    for number, client, _, after in uploads(transcript, start, with_base=updates):
        known[client] = after
        by_round.setdefault(number, {})[client] = after
    if last_only and by_round:
        by_round = {max(by_round): known}
    for number in sorted(by_round):
        for client in sorted(by_round[number]):
            yield Received(number, client, by_round[number][client], client)


def uploads(transcript: Transcript, start: Part | None = None, with_base: bool = True) -> Iterator[Upload]:
    """(round, client, the weights it started from, its weights after training), in transcript order.

    ``with_base`` False leaves the weights before empty where no update needs them: a broadcast is not decoded then.
    """
    known: dict[int, dict[str, Tensor]] = {}
    base: dict[str, dict[str, Tensor]] = {}
    opened = _Opened(transcript)
    messages = [m for m in transcript.messages if m.kind in (Weights.kind, Update.kind)]
    told = {(m.round, m.author) for m in messages if not m.passed_on}
    for message in messages:
        author = message.author
        before = base.get(author, dict(start or {}))
        if message.sender == SERVER and with_base:
            held = base.get(message.receiver, dict(start or {}))
            base[message.receiver] = _applied(held, opened(message))
        if author == SERVER or (message.passed_on and (message.round, author) in told):
            continue
        client, payload = client_index(author), opened(message)
        known[client] = _applied(before if isinstance(payload, Update) else known.get(client, {}), payload)
        yield message.round, client, before, known[client]
        if message.passed_on:
            told.add((message.round, author))
            base[author] = {}


def broadcast_models(
    transcript: Transcript, last_only: bool, receiver: str | None = None, start: Part | None = None
) -> Iterator[Received]:
    """What the server sent, after each round: to one ``receiver``, or to whoever received first in the view."""
    chosen = [m for m in transcript.messages if m.kind in (Weights.kind, Update.kind) and m.author == SERVER]
    if receiver is None and chosen:
        receiver = chosen[0].receiver
    chosen = [m for m in chosen if m.receiver == receiver]
    opened, model = _Opened(transcript), dict(start or {})
    for place, message in enumerate(chosen):
        model = _applied(model, opened(message))
        ends = place + 1 == len(chosen) or chosen[place + 1].round != message.round
        if ends and (message.round == chosen[-1].round or not last_only):
            yield Received(message.round, -1, model, client_index(message.receiver))


def _applied(model: dict[str, Tensor], payload: Payload) -> dict[str, Tensor]:
    """The model after a message, as a new value: weights replace what they name, an update is added to it."""
    if isinstance(payload, Weights):
        return {**model, **payload.tensors}
    assert isinstance(payload, Update)
    return {**model, **{name: model[name] + t for name, t in payload.tensors.items() if name in model}}


class _Opened:
    """Payloads of a transcript by message; one that goes to several receivers is decoded once."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._digest: str | None = None
        self._payload: Payload | None = None

    def __call__(self, message: Message) -> Payload:
        if message.digest != self._digest or self._payload is None:
            self._digest, self._payload = message.digest, self._transcript.payload(message)
        return self._payload
