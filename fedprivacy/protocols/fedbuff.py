"""Buffered asynchronous aggregation (Nguyen et al., arXiv 2106.06639).

A client sends its update, the server adds it to a buffer with weight ``s(d) = (1 + d)^-a``, and after ``buffer``
arrivals takes one step of momentum SGD along the mean; then the buffer is empty and the version is one more. Running
statistics are no parameters: a step with momentum could make a variance negative, so they become the plain mean of
what came in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedBuffOptions
from fedprivacy.federation import asynchrony, averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, Part, Work
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.learner import Learner, Loss, label_loss
from fedprivacy.training.staleness import polynomial
from fedprivacy.wire.channel import Channel, change
from fedprivacy.wire.parties import SERVER, client_name

BUFFER_OF_THE_PAPER = 10
BUFFER, MOMENTUM, FILLED = "server/buffer", "server/momentum", "server/filled"


def _loss_for(client: int, learner: Learner) -> Loss:
    return label_loss


@dataclass(frozen=True)
class FedBuff:
    """The protocol with its options."""

    options: FedBuffOptions

    def check(self, env: Environment) -> None:
        asynchrony.check(env, "fedbuff")
        jobs, arrivals = env.rounds * asynchrony.concurrency(env), asynchrony.arrivals(env, self.options)
        if arrivals < self.size(env) and not self.options.flush:
            come = "" if arrivals == jobs else f", {arrivals} come in,"
            raise UsageError(
                f"protocol fedbuff: {jobs} jobs end in this run{come} and the buffer takes {self.size(env)}, so the "
                "server would never take a step; lower buffer or dropout_rate, raise rounds, or set flush."
            )

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fedbuff")
        outcome = asynchrony.started(env, self.options)
        model = outcome.state.parts[averaging.GLOBAL]
        empty = {name: torch.zeros_like(tensor) for name, tensor in model.items() if tensor.is_floating_point()}
        parts: dict[str, Part] = {BUFFER: empty, MOMENTUM: empty, FILLED: {"arrivals": torch.tensor(0)}}
        return RoundOutcome(outcome.state.having(parts), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = frozenset(name for name, _ in env.workbench.module(env.architecture(0)).named_parameters())

        def deliver(parts: Mapping[str, Part], arrival: asynchrony.Arrival) -> tuple[Mapping[str, Part], int]:
            purpose = f"push at {arrival.time:.6g}, {arrival.late} late"
            update = change(arrival.start, arrival.end)
            sent = channel.send(client_name(arrival.client), SERVER, update, purpose).tensors
            weight = self.weight(arrival.late)
            filled = int(parts[FILLED]["arrivals"]) + 1
            model, buffer = parts[averaging.GLOBAL], dict(parts[BUFFER])
            for name, moved in sent.items():
                part = weight * moved if name in trained else arrival.start[name] + moved - model[name]
                buffer[name] = buffer[name] + part
            changed = {**parts, BUFFER: buffer, FILLED: {"arrivals": torch.tensor(filled)}}
            return (changed, 0) if filled < self.size(env) else (self.stepped(changed, trained), 1)

        outcome = asynchrony.asynchronous_round(state, round, env, channel, self.options, _loss_for, deliver, "update")
        if self.options.flush and int(outcome.state.parts[FILLED]["arrivals"]):
            flushed = outcome.state.having(self.stepped(outcome.state.parts, trained))
            clock = asynchrony.Clock.of_part(flushed.parts[asynchrony.CLOCK]).stepped()
            outcome = RoundOutcome(flushed.having({asynchrony.CLOCK: clock.to_part()}), outcome.history, outcome.events)
        return outcome

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        start = state.parts[phases.model_part(client)]
        parts, rows = asynchrony.job_done(state, round, env, client, round, _loss_for)
        return LocalWork(parts, rows, change(start, parts[phases.model_part(client)]))

    def work(self, env: Environment) -> Sequence[Work]:
        """The jobs that the clock gives the clients."""
        return asynchrony.planned(env, self.options)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"global": (env.architecture(0), state.parts[averaging.GLOBAL])}

    def size(self, env: Environment) -> int:
        """Arrivals that fill the buffer."""
        return self.options.buffer or min(BUFFER_OF_THE_PAPER, math.ceil(asynchrony.concurrency(env) / 2))

    def weight(self, late: int) -> float:
        """``s(d)``, over ``s(1)`` where renormalised."""
        scale = polynomial(1, self.options.exponent) if self.options.renormalise else 1.0
        return polynomial(late, self.options.exponent) / scale

    def stepped(self, parts: Mapping[str, Part], trained: Collection[str]) -> dict[str, Part]:
        """The server's parts after one step along its buffer, which is empty then. ``trained``: what is a parameter."""
        filled = int(parts[FILLED]["arrivals"])
        number = filled if self.options.reduce == "mean" else 1
        momentum, model = dict(parts[MOMENTUM]), dict(parts[averaging.GLOBAL])
        for name, total in parts[BUFFER].items():
            if name in trained:
                momentum[name] = self.options.server_momentum * momentum[name] + total / number
                model[name] = model[name] + self.options.server_lr * momentum[name]
            else:
                model[name] = model[name] + total / filled
        empty = {name: torch.zeros_like(tensor) for name, tensor in momentum.items()}
        return {
            averaging.GLOBAL: model,
            MOMENTUM: momentum,
            BUFFER: empty,
            FILLED: {"arrivals": torch.tensor(0)},
        }
