"""Secure aggregation: the server learns the sum of what clients send and no summand (Bonawitz et al. 2017).

Each pair of a round's participants shares a seed and each has one of its own. A message is the fixed-point value plus
all these pseudorandom masks modulo 2^32; in the sum the pair masks cancel. At the end those who are still there reveal
their own seeds, and for whoever is lost the seeds they shared with it. Nobody's own seed and pair seeds are ever
revealed both, so a message that arrives too late stays masked.

Left out, since nobody here drops out while seeds are revealed and named seeds stand in for keys: key agreement, and the
sharing of seeds by thresholds. Their bytes are not counted. Nothing is proven: the sum itself carries no noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.defenses import Budget, SecureAggregationOptions
from fedprivacy.defenses import masks, plan, updates
from fedprivacy.defenses.acts_on import summable
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_index, client_name
from fedprivacy.wire.payload import Payload, Predictions, Update, Weights
from fedprivacy.wire.payloads import Masked, RevealedSeeds
from fedprivacy.wire.release import Release

NAME = "secure-aggregation"


@dataclass(frozen=True)
class SecureAggregation:
    """``roster``: participants of each round. ``range``: largest absolute value. ``threshold``: share to open a sum."""

    root: int
    roster: Mapping[int, Sequence[int]]
    range: float
    threshold: float

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if isinstance(payload, RevealedSeeds):
            return payload
        tensors, form = contents(payload)
        largest = max((float(t.abs().max()) for t in tensors.values() if t.numel()), default=0.0)
        if not largest <= self.range:
            raise UsageError(
                f"defense {NAME}: {sender} sends a value of {largest:.3g} in round {round}; "
                "defense.options.range must be at "
                f"least that (it is {self.range:g})."
            )
        words = masks.to_words(tensors, self._scale(round))
        client = client_index(sender)
        pairs = {v: self._pair(round, payload.kind, client, v) for v in self.roster[round] if v != client}
        own = self._own(round, payload.kind, client)
        masked = words + masks.mask(client, own, pairs, len(words))
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        return Masked(masks.to_tensors(masked, shapes), payload.kind, form)

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload:
        messages = {client_index(name): p for name, p in received.items() if isinstance(p, Masked)}
        first = next(iter(messages.values()))
        present, everybody = sorted(messages), self.roster[channel.round]
        needed = max(2, math.ceil(self.threshold * len(everybody)))
        if len(present) < needed:
            raise UsageError(
                f"defense {NAME}: {len(present)} of {len(everybody)} messages arrived in round {channel.round}, and "
                f"{needed} are needed to open their sum; lower dropout_rate or defense.options.threshold."
            )
        lost = [client for client in everybody if client not in messages]
        revealed = {
            u: channel.send(client_name(u), SERVER, self._told(channel.round, first.of, u, lost)) for u in present
        }
        total = masks.opened(
            {u: masks.of_tensors(messages[u].tensors) for u in present},
            {u: int(told.own) for u, told in revealed.items()},
            {v: {u: int(told.shared[i]) for u, told in revealed.items()} for i, v in enumerate(lost)},
        )
        mean = torch.from_numpy(masks.from_words(total, self._scale(channel.round)) / len(present)).float()
        shapes = {name: first.tensors[name].shape for name in sorted(first.tensors)}
        pieces = mean.split([shape.numel() for shape in shapes.values()])
        named = {name: piece.view(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}
        return restored(named, first.of, first.form)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, summable)
        updates.check_numbers(NAME, env)
        if len(self.roster[1]) < 2:
            plan.refuse(NAME, "one participant a round has nobody to hide among; raise clients or participation")

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()

    def _scale(self, round: int) -> float:
        return masks.steps_per_unit(self.range, len(self.roster[round]))

    def _own(self, round: int, kind: str, client: int) -> int:
        return seeds.value(self.root, "defense", NAME, "own", kind, round, client)

    def _pair(self, round: int, kind: str, one: int, other: int) -> int:
        return seeds.value(self.root, "defense", NAME, "pair", kind, round, min(one, other), max(one, other))

    def _told(self, round: int, kind: str, client: int, lost: Sequence[int]) -> RevealedSeeds:
        """What ``client`` reveals: its own seed, and those it shares with the lost."""
        own = torch.tensor(self._own(round, kind, client))
        shared = torch.tensor([self._pair(round, kind, client, other) for other in lost], dtype=torch.int64)
        return RevealedSeeds(own, torch.tensor(lost, dtype=torch.int64), shared)


def contents(payload: Payload) -> tuple[dict[str, Tensor], str]:
    """The numbers of a payload by name, and its form. TypeError for anything else: nothing may pass unmasked."""
    if isinstance(payload, Predictions):
        return {"values": payload.values}, payload.form
    if isinstance(payload, Weights | Update) and all(t.is_floating_point() for t in payload.tensors.values()):
        return dict(payload.tensors), ""
    raise TypeError(f"{payload.kind} of this content cannot be masked")


def restored(tensors: Mapping[str, Tensor], kind: str, form: str) -> Payload:
    """The inverse of :func:`contents`."""
    if kind == Predictions.kind:
        return Predictions(tensors["values"], form)  # type: ignore[arg-type]
    return Weights(tensors) if kind == Weights.kind else Update(tensors)


def build(
    options: SecureAggregationOptions, budget: Budget, env: Environment, releases: Sequence[Release]
) -> SecureAggregation:
    """The defense, with the participants of each round."""
    roster = {round: tuple(env.participants(round)) for round in range(1, env.rounds + 1)}
    return SecureAggregation(env.root, roster, options.range, options.threshold)
