"""What clients would have sent a server that departs from the protocol in some rounds of a finished run.

A dishonest server changes nothing but what it sends. Alternative rounds begin at the state of the honest run, which is
not disturbed, and differ from it in the server's forged messages and in whatever follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from fedprivacy.federation import checkpoints
from fedprivacy.federation.engine import held
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import Defense, FederatedProtocol
from fedprivacy.wire.channel import Channel, Outgoing
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload, PayloadT
from fedprivacy.wire.transcript import MemoryStore, Store, Transcript

Forge = Callable[[Payload, Sequence[str]], Payload]
"""(what the protocol has the server send, to whom) -> what it sends instead."""


class ForgingChannel(Channel):
    """A channel on which the server sends what ``forge`` makes of its messages. Clients and defenses act as ever."""

    def __init__(
        self, round: int, store: Store, defense: Outgoing | None, state: FederationState, forge: Forge
    ) -> None:
        super().__init__(round, store, defense, held(state))
        self._forge = forge

    def send(self, sender: str, receivers: str | Sequence[str], payload: PayloadT, purpose: str = "") -> PayloadT:
        if sender == SERVER:
            names = [receivers] if isinstance(receivers, str) else receivers
            payload = cast("PayloadT", self._forge(payload, names))
        return super().send(sender, receivers, payload, purpose)


def state_after(
    protocol: FederatedProtocol,
    env: Environment,
    where: Path,
    round: int,
    defense: Defense | None,
    known: FederationState | None = None,
) -> FederationState:
    """The state after ``round`` rounds of the honest run in ``where``; what no checkpoint holds is played again.

    ``known``: an earlier state to go on from, where no later one is stored.
    ``env`` is the environment under the defense. Seeds are named, so a round played again is the same bit for bit.
    """
    found = checkpoints.newest_until(where / "checkpoint", round)
    stored = None if found is None else found.state
    state = max((one for one in (stored, known) if one is not None), key=lambda one: one.round, default=None)
    state = protocol.init(env).state if state is None else state
    for number in range(state.round + 1, round + 1):
        state = protocol.round(state, number, env, Channel(number, MemoryStore(), defense, held(state))).state
    return state


def alternative_rounds(
    protocol: FederatedProtocol,
    env: Environment,
    state: FederationState,
    last: int,
    forge: Forge,
    store: Store,
    defense: Defense | None,
    honest_last: bool = True,
) -> Transcript:
    """The rounds that follow ``state`` up to ``last``, the server forging its messages in all of them.

    ``honest_last``: in the last it follows the protocol, so that a server from which a defense hides single messages
    still tells what it made of them. Only what comes after the first forged message is kept: the rest is the honest
    run's.
    """
    shown = MemoryStore()
    messages = []
    for number in range(state.round + 1, last + 1):
        honest = honest_last and number == last
        channel = (
            Channel(number, shown, defense, held(state))
            if honest
            else ForgingChannel(number, shown, defense, state, forge)
        )
        state = protocol.round(state, number, env, channel).state
        messages += channel.messages
    first = next((place for place, message in enumerate(messages) if message.sender == SERVER), len(messages))
    for digest in dict.fromkeys(message.digest for message in messages[first:]):
        store.put(digest, shown.get(digest))
    return Transcript(tuple(messages[first:]), (), store)


def rounds_anew(
    protocol: FederatedProtocol, env: Environment, rounds: int, defense: Defense | None, first: int = 1
) -> Transcript:
    """``rounds`` rounds from ``first`` on, each played from the start of ``env``, which the server sends anew before
    every one."""
    shown, start = MemoryStore(), protocol.init(env).state
    messages = []
    for number in range(first, first + rounds):
        state = replace(start, round=number - 1)
        channel = Channel(number, shown, defense, held(state))
        protocol.round(state, number, env, channel)
        messages += channel.messages
    return Transcript(tuple(messages), (), shown)
