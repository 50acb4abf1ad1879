"""Models that a server passes on are their authors': read once, by whoever hears them, from a start that is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fedprivacy
from fedprivacy.adversary.threat import Adversary, View, view_of
from fedprivacy.attacks.membership.joint.changes import changes
from fedprivacy.attacks.membership.models_on_wire import broadcast_models, uploads
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import RunConfig
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.inferred import Told, releases_in
from fedprivacy.wire.payload import Payload, Update, Weights
from fedprivacy.wire.transcript import MemoryStore, Message, Transcript

START = {"w": torch.zeros(4)}
SETTINGS = FederationSettings.of(RunConfig(clients=3))


def of(client: int, round: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((4,), 10.0 * round + client)}


def relayed(to: dict[int, Sequence[int]], rounds: int = 2, updates: bool = False) -> Transcript:
    """Three clients whose models a server passes on, each to those of ``to``."""
    store, messages = MemoryStore(), list[Message]()
    for t in range(1, rounds + 1):
        channel = Channel(t, store)
        for k in range(3):
            sent: Payload = Update(of(k, t)) if updates else Weights(of(k, t))
            copy = channel.send(f"client-{k}", "server", sent)
            channel.send("server", [f"client-{r}" for r in to[k]], copy, f"of client-{k}")
        messages += channel.messages
    return Transcript(tuple(messages), (), store)


RING: dict[int, Sequence[int]] = {0: (1,), 1: (2,), 2: (0,)}
ALL: dict[int, Sequence[int]] = {0: (1, 2), 1: (0, 2), 2: (0, 1)}


def seen(transcript: Transcript, who: str) -> View:
    return view_of([transcript], Adversary.parse(who))


def read(view: View, start: Any = START) -> list[tuple[int, int, float]]:
    return [(t, client, float(after["w"][0])) for t, client, _, after in uploads(view.transcripts[0], start)]


def test_a_server_reads_each_model_once() -> None:
    assert read(seen(relayed(ALL), "server")) == [(t, k, 10.0 * t + k) for t in (1, 2) for k in range(3)]


def test_a_client_reads_what_it_is_passed_on_and_an_eavesdropper_each_once() -> None:
    assert read(seen(relayed(RING), "client-1")) == [(1, 0, 10.0), (1, 1, 11.0), (2, 0, 20.0), (2, 1, 21.0)]
    assert read(seen(relayed(ALL), "eavesdropper")) == [(t, k, 10.0 * t + k) for t in (1, 2) for k in range(3)]
    assert not list(broadcast_models(relayed(ALL), False))


def test_an_update_that_is_passed_on_is_decoded_from_the_start_alone() -> None:
    """What its author was sent since then is not in sight."""
    view = seen(relayed(RING, updates=True), "client-1")
    found = {(t, client): after for t, client, _, after in uploads(view.transcripts[0], START)}
    assert float(found[1, 0]["w"][0]) == 10.0 and found[2, 0] == {}


def changed(view: View) -> list[tuple[int, int, float, float]]:
    start = dict.fromkeys(range(3), START)
    return [
        (c.round, c.clients[0], float(c.start["w"][0]), float(c.end["w"][0])) for c in changes(view, start, SETTINGS)
    ]


def test_a_change_begins_at_the_one_model_that_was_passed_on() -> None:
    """In a ring each goes on from its neighbour's model; client 1 hears client 0 before it trains."""
    assert changed(seen(relayed(RING), "server")) == [
        (1, 0, 0.0, 10.0),
        (1, 1, 10.0, 11.0),
        (1, 2, 11.0, 12.0),
        (2, 0, 12.0, 20.0),
        (2, 1, 20.0, 21.0),
        (2, 2, 21.0, 22.0),
    ]


def test_who_was_passed_on_several_models_begins_nowhere_known() -> None:
    assert changed(seen(relayed(ALL), "server")) == [(1, 0, 0.0, 10.0), (1, 1, 10.0, 11.0)]


def test_a_client_knows_the_start_of_others_in_their_first_message_alone() -> None:
    assert [one for one in changed(seen(relayed(RING), "client-1")) if one[1] == 0] == [(1, 0, 0.0, 10.0)]


@pytest.mark.parametrize(("to", "reference"), [(RING, "received"), (ALL, "")])
def test_declarations_of_a_transcript_say_so(to: Any, reference: str) -> None:
    up, passed = releases_in(relayed(to), Told(frozenset({"w"}), start=True))
    assert (up.of, up.reference, passed.of, passed.sender) == ("own", reference, "relay", "server")


class Net(nn.Module):
    """One layer on the 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.layer(x.flatten(1))


def passing(game: Any, wire: Any) -> None:
    """Every client trains a model of its own, over-fitted; the server passes each on to all others."""
    for t in range(1, game.rounds + 1):
        for k in range(game.clients):
            net = game.model(k, own=True)
            optimizer = torch.optim.Adam(net.parameters(), 0.05)
            x, y = map(torch.from_numpy, game.private(k))
            for _ in range(150):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()
            got = wire.sent(t, f"client-{k}", "server", weights=net).payload
            wire.sent(t, "server", [p for p in wire.everyone if p != f"client-{k}"], payload=got, of=f"client-{k}")


def test_a_peer_attacks_every_other_client_through_the_relay(tmp_path: Path) -> None:
    settings = {"dataset": "digits", "clients": 3, "rounds": 1, "candidates": 80, "auxiliary": 40, "public_size": 10}
    result = fedprivacy.run(
        passing, model=Net, attack="membership", adversary="client-0", baselines=False, out=tmp_path, **settings
    )
    rows = [r for r in result.table("findings") if r["metric"] == "AUC" and r["statistic"] == "loss"]
    told = {r["target"]: r["low"] for r in rows if r["observation"] == "uploaded weights"}
    assert told["all clients"] > 0.5 and {"client-1", "client-2"} <= set(told), result.table("findings")
