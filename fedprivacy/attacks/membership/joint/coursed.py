"""Plays a client that trains on public records too: what it does between two of its uploads, event by event.

Where clients share weights and predictions, an upload is what became of the last one by the client's own records and
by public ones. The second part follows from what the client was told, which whoever sees the wire knows, so the
protocol's course (:mod:`fedprivacy.federation.course`) is followed with candidates by coins in the place of the
client's own records, and the changes are decoded as any others. Only private training is watched for gradients: what
public records do is in every simulation alike, and drops out with their mean.

Where clients act in turn, a peer is not told what those between it and a later client say anew. They are played before
that client in the same simulation, whose own predictions then stand for theirs, behind the defense.

After an upload a client goes on from the weights that it has, whatever a defense made of those it sent. Where uploads
are in sight as they are, a played client takes the real one's over. Where they are not, or a defense noises, clips or
rounds them, nobody knows the real one's, and a played client goes on from its own: they follow the law of the real
client's, while a noised upload would put a noise into all that comes after which no client ever had.

What breaks it: whoever does not see all that a client is told, and cannot play who told it, plays another client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.joint.stretches import Stretch, Told, stretches, told_of_all
from fedprivacy.attacks.membership.unrolled.readings import sent_for
from fedprivacy.attacks.membership.unrolled.situation import UNHEARD, behind, own_environment
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation import phases
from fedprivacy.federation.course import Event, Fit, Private, Renewal, Restart, TakeOver, TellsCourse
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import Defense, FederatedProtocol, RoundOutcome
from fedprivacy.federation.knowledge import Knowledge, Rules
from fedprivacy.federation.local_training import LocalWork, TrainsLocally
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import MemoryStore

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
    told, defense = told_of_all(view, knowledge), rules.defense(own_environment(knowledge, rules))
    if defense is not None and _alters(defense, told, knowledge):
        told = {client: replace(one, sent={}) for client, one in told.items()}
    played = Coursed(rules.protocol, told, start, defense)
    return replace(rules, protocol=played), played


def unheard(protocol: TrainsLocally, settings: FederationSettings) -> tuple[str, ...]:
    """In words, what nobody told of clients that are played along their course, where messages are lost."""
    return (UNHEARD,) if isinstance(protocol, Coursed) and settings.dropout_rate else ()


def _alters(defense: Defense, told: Mapping[int, Told], knowledge: Knowledge) -> bool:
    """Whether weights leave a client otherwise than as they are: tried on a new model, far from where it started."""
    names = {name for one in told.values() for part in one.sent.values() for name in part}
    if not names:
        return False
    weights = knowledge.workbench.initial(knowledge.settings.architecture(0), (knowledge.root, ("coursed", "weights")))
    part = {name: weights[name] for name in sorted(names & set(weights))}
    zero = {name: torch.zeros_like(tensor) for name, tensor in part.items()}
    channel = Channel(1, MemoryStore(), defense, lambda _: zero)
    arrived = channel.send(client_name(0), SERVER, Weights(part)).tensors
    return not all(torch.equal(arrived[name], tensor) for name, tensor in part.items() if tensor.is_floating_point())


@dataclass(frozen=True, eq=False)
class Coursed:
    """``protocol`` with clients that can be played, from what is ``told`` of each; ``start``: what all began from;
    ``defense``: what the predictions of played clients pass through before others hear them.

    Between rounds a client holds its weights, the moments of its private training, and its newer predictions.
    """

    protocol: FederatedProtocol
    told: Mapping[int, Told]
    start: Mapping[str, Part]
    defense: Defense | None = None

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
        stretch = self._stretch(state, round, client)
        if stretch is None:
            raise ValueError(f"{client_name(client)}: nothing tells what it did before its upload of round {round}")
        history: list[HistoryRow] = []
        for event in stretch.events:
            state, rows = self._after(event, state, env, client)
            history += rows
        model = phases.model_part(client)
        sent = {name: t for name, t in state.parts[model].items() if name in stretch.names}
        kept = (model, phases.moments_part(client), renewed_part(client))
        return LocalWork({name: state.parts[name] for name in kept if name in state.parts}, history, Weights(sent))

    @cached_property
    def _stretches(self) -> Mapping[int, Mapping[int, Stretch]]:
        if not isinstance(self.protocol, TellsCourse):
            return {}
        return {client: dict(stretches(self.protocol, one)) for client, one in self.told.items()}

    def _stretch(self, state: FederationState, round: int, client: int) -> Stretch | None:
        """What ``client`` does before its upload of ``round``, with what those before it said anew in ``state``."""
        plain = self._stretches.get(client, {}).get(round)
        unseen = self.told[client].heard[round].unseen if plain is not None else frozenset[int]()
        said = {peer: found for peer in unseen if (found := self._said(state, round, peer)) is not None}
        if not said or not isinstance(self.protocol, TellsCourse):
            return plain
        again = stretches(self.protocol, self.told[client].with_renewed(round, said))
        return next(found for number, found in again if number == round)

    def _said(self, state: FederationState, round: int, peer: int) -> Predictions | None:
        """What ``peer`` said anew in ``round`` of this simulation, if it was played."""
        kept = state.parts.get(renewed_part(peer))
        if kept is None or int(kept["round"]) != round:
            return None
        return Predictions(kept["values"], self._form(round))

    def _form(self, round: int) -> Any:
        """The form of the predictions that clients exchange in ``round``."""
        heard = [told.heard[round] for told in self.told.values() if round in told.heard]
        return next(said.form for one in heard for said in one.predictions.values())

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
        if isinstance(event, Renewal):
            return self._renewed(event, state, env, client), []
        if isinstance(event, TakeOver):
            held = state.parts[model]
            taken = {name: t.to(held[name].dtype) for name, t in event.tensors.items() if name in held}
            return state.having({model: {**held, **taken}} | ({moments: {}} if event.forget else {})), []
        if isinstance(event, Restart):
            if model not in self.start:
                raise ValueError("clients go back to a start that is not known")
            return state.having({model: self.start[model], moments: {}}), []
        return state, []

    def _renewed(self, event: Renewal, state: FederationState, env: Environment, client: int) -> FederationState:
        """``state`` with what ``client`` says anew, where somebody's play asks for it."""
        heard = [told.heard[event.round] for told in self.told.values() if event.round in told.heard]
        if not any(client in one.unseen for one in heard):
            return state
        fold = self.told[client].heard[event.round].fold
        weights = state.parts[phases.model_part(client)]
        logits = env.workbench.learner(env.architecture(client), weights, None, PUBLIC).logits(fold.x)
        plain = sent_for(logits, phases.as_labels(fold), self._form(event.round))
        said = behind(self.defense, plain, client, event.round)
        return state.having({renewed_part(client): {"round": torch.tensor(event.round), "values": said.values}})


def renewed_part(client: int) -> str:
    """Name of the part that holds what a client said anew in the last round that it was played in."""
    return f"{client_name(client)}/renewed"


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
