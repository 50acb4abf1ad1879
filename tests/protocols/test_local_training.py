"""One client by itself does what it does in a round: the same message, bit for bit, and nothing of another client."""

from __future__ import annotations

from typing import Any

import pytest

from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation.interfaces import prepared
from fedprivacy.federation.local_training import TrainsLocally
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import decode, encode
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Update, Weights
from fedprivacy.wire.transcript import MemoryStore

PRUNING = "gradient-pruning"
SENDS_CHANGES = [
    name for name in CARDS if resolve(RunConfig(protocol=name)).wire.what_is_sent in ("weights", "updates")
]


@pytest.mark.parametrize(("name", "defense"), [*((name, "none") for name in SENDS_CHANGES), ("fedavg", PRUNING)])
def test_a_client_by_itself_sends_what_it_sends_in_a_round(name: str, defense: str, small_config: Any):
    options = {"steps": 4, "patience": 4} if name == "feddf" else {}
    config = small_config(protocol=name, rounds=2, options=options, defense={"name": defense})
    env, _ = resolve(config).environment(3)
    protocol = resolve(config).protocol
    assert isinstance(protocol, TrainsLocally)
    made = resolve(config).defense(env)
    env = prepared(env, made)
    state = protocol.init(env).state
    for round in (1, 2):
        store = MemoryStore()

        def held(party: str, of: Any = state) -> Any:
            return of.parts[f"{party}/model"]

        channel = Channel(round, store, made, held)
        before = state
        state = protocol.round(before, round, env, channel).state
        sent = [m for m in channel.messages if m.sender != SERVER and m.kind in (Weights.kind, Update.kind)]
        alone = Channel(round, MemoryStore(), made, held)
        if name in ("fedasync", "fedbuff"):
            # Jobs follow one another; the first of a round starts from the state before it.
            sent = sent[:1] if round == 1 else []
        for message in sent:
            client = int(message.sender.removeprefix("client-"))
            work = protocol.local(before, round, env, client)
            again = alone.send(message.sender, SERVER, work.payload)
            assert encode(again) == encode(decode(store.get(message.digest)))
            others = {f"{client_name(c)}/" for c in range(config.clients) if c != client}
            assert not any(part.startswith(tuple(others)) for part in work.parts)
            assert protocol.held(client) in before.parts
