"""Plays a client that trains on public records too: what it does between two of its uploads, event by event.

Where clients share weights and predictions, an upload is what became of the last one by the client's own records and
by public ones. The second part follows from what the client was told, which whoever sees the wire knows, so the
protocol's course (:mod:`fedprivacy.federation.course`) is followed with candidates by coins in the place of the
client's own records, and the changes are decoded as any others. Only private training is watched for gradients: what
public records do is in every simulation alike, and drops out with their mean.

What breaks it: whoever does not see all that a client is told plays another client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.unrolled.told import heard
from fedprivacy.federation import phases
from fedprivacy.federation.course import Event, Fit, Heard, Private, Restart, TakeOver, TellsCourse, Upload
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import FederatedProtocol, RoundOutcome
from fedprivacy.federation.knowledge import Knowledge, Rules
from fedprivacy.federation.local_training import LocalWork, TrainsLocally
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.transcript import Message

PUBLIC = "public records"
"""Slot of the modules that fit public records, which nobody watches."""


def player(view: View, knowledge: Knowledge) -> tuple[Rules, TrainsLocally]:
    """Rules with a protocol whose clients train by themselves, where it does not say so, along their course.

    ValueError where nobody can be played.
    """
    rules = knowledge.rules
    if rules is not None and isinstance(rules.protocol, TrainsLocally):
        return rules, rules.protocol
    if rules is None or not isinstance(rules.protocol, TellsCourse):
        raise ValueError("nobody said how the protocol trains one client by itself, so none can be played")
    start = rules.initial.parts if rules.initial is not None else {}
    played = Coursed(rules.protocol, _stretches(view, knowledge, rules.protocol), start)
    return replace(rules, protocol=played), played


@dataclass(frozen=True, eq=False)
class Stretch:
    """What a client does between two uploads, and the ``names`` of the tensors that it then sends."""

    events: Sequence[Event]
    names: frozenset[str]


@dataclass(frozen=True, eq=False)
class Coursed:
    """``protocol`` with clients that can be played: ``stretches`` by client and round; ``start``: what all began from.

    Between rounds a client holds its weights and the moments of its private training.
    """

    protocol: FederatedProtocol
    stretches: Mapping[int, Mapping[int, Stretch]]
    start: Mapping[str, Part]

    def check(self, env: Environment) -> None:
        self.protocol.check(env)

    def init(self, env: Environment) -> RoundOutcome:
        return self.protocol.init(env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        return self.protocol.round(state, round, env, channel)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return self.protocol.models(state, env)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        stretch = self.stretches.get(client, {}).get(round)
        if stretch is None:
            raise ValueError(f"{client_name(client)}: nothing tells what it did before its upload of round {round}")
        history: list[HistoryRow] = []
        for event in stretch.events:
            state, rows = self._after(event, state, env, client)
            history += rows
        model = phases.model_part(client)
        sent = {name: t for name, t in state.parts[model].items() if name in stretch.names}
        parts = {name: state.parts[name] for name in (model, phases.moments_part(client))}
        return LocalWork(parts, history, Weights(sent))

    def _after(
        self, event: Event, state: FederationState, env: Environment, client: int
    ) -> tuple[FederationState, list[HistoryRow]]:
        model, moments = phases.model_part(client), phases.moments_part(client)
        if isinstance(event, Private):
            learner = phases.load(env, state, client)
            passes = phases.fit_private(learner, env, client, event.round, event.loss)
            return state.having(phases.store(env, client, learner)), phases.rows(passes, event.round, client, "private")
        if isinstance(event, Fit):
            return _fitted(event, state, env, client)
        if isinstance(event, TakeOver):
            held = state.parts[model]
            taken = {name: t.to(held[name].dtype) for name, t in event.tensors.items() if name in held}
            return state.having({model: {**held, **taken}} | ({moments: {}} if event.forget else {})), []
        if isinstance(event, Restart):
            if model not in self.start:
                raise ValueError("clients go back to a start that is not known")
            return state.having({model: self.start[model], moments: {}}), []
        return state, []


def _fitted(
    event: Fit, state: FederationState, env: Environment, client: int
) -> tuple[FederationState, list[HistoryRow]]:
    model, moments = phases.model_part(client), phases.moments_part(client)
    held = state.parts[moments] if event.own_moments else None
    learner = env.workbench.learner(env.architecture(client), state.parts[model], held, PUBLIC)
    how: dict[str, Any] = {"shuffle": event.shuffle, "even": event.even, "batch_size": event.batch_size}
    name = ("client", client, "round", event.round, event.name)
    passes = phases.fitted(
        learner, event.records, event.epochs, env, name, "public phase", client, event.round, event.loss, **how
    )
    after = phases.store(env, client, learner)
    state = state.having(after if event.own_moments else {model: after[model]})
    return state, phases.rows(passes, event.round, client, "public")


def _stretches(view: View, knowledge: Knowledge, protocol: TellsCourse) -> dict[int, dict[int, Stretch]]:
    """By client and round, what it did since its last upload, as far as ``view`` tells."""
    messages = [m for m in view.transcripts[0].messages if m.kind == Weights.kind]
    told: dict[int, set[str]] = {}
    own: dict[tuple[int, str], Part] = {}
    for message in messages:
        payload = view.transcripts[0].payload(message)
        assert isinstance(payload, Weights)
        told.setdefault(message.round, set()).update(payload.tensors)
        if message.author != SERVER:
            own[message.round, message.author] = payload.tensors
    names = {round: frozenset(found) for round, found in told.items()}
    found: dict[int, dict[int, Stretch]] = {}
    for client in range(knowledge.settings.clients):
        events: list[Event] = []
        found[client] = {}
        for event in protocol.course(_heard(view, client, knowledge)):
            if not isinstance(event, Upload):
                events.append(event)
                continue
            if event.round in names:
                found[client][event.round] = Stretch(events, names[event.round])
            sent: Mapping[str, Tensor] = own.get((event.round, client_name(client)), {})
            events = [TakeOver(sent)]
    return found


def _heard(view: View, client: int, knowledge: Knowledge) -> dict[int, Heard]:
    """What ``client`` was told; it took part where it sent anything, or where nobody's own messages are in sight."""
    sent = [m for m in view.transcripts[0].messages if m.author != SERVER]
    told = heard(view, client, knowledge.dataset)
    return {round: replace(one, answered=_took_part(sent, round, client, view)) for round, one in told.items()}


def _took_part(sent: Iterable[Message], round: int, client: int, view: View) -> bool:
    authors = {m.author for m in sent if m.round == round} - {view.position}
    return not authors or client_name(client) in authors
