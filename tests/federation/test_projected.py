"""Every protocol, run by parties apart that only exchange messages, is the same federation bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import FederatedProtocol
from fedprivacy.federation.projected import Parcel, Party
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.transcript import Message

Configure = Callable[..., Any]
BOUNDS = [name for name, card in CARDS.items() if not card.options.model_fields.keys() or name in ("local", "central")]


def made(config: Any) -> tuple[FederatedProtocol, Environment]:
    return resolve(config).protocol, resolve(config).environment(config.seed)[0]


def played(config: Any, forgetful: bool = False) -> tuple[list[Party], list[Message]]:
    """All parties of a federation, each with an environment of its own, and what the server saw.

    ``forgetful``: a client is another process at every turn, as the nodes of a framework are.
    """

    def party(name: str, saved: bytes = b"") -> Party:
        protocol, env = made(config)
        return Party(protocol, env, name, resolve(config).defense(env), saved=saved)

    parties = [party(name) for name in (SERVER, *map(client_name, range(config.clients)))]
    seen: list[Message] = []
    waiting: list[Parcel] = []
    turns = 0
    while waiting or not turns:
        leaving = []
        for i, one in enumerate(parties):
            if forgetful and one.name != SERVER:
                parties[i] = one = party(one.name, one.saved())
            mail = [parcel for parcel in waiting if one.name in parcel.receivers]
            closed = (lambda _, messages: seen.extend(messages)) if one.name == SERVER else (lambda _, messages: None)
            leaving += one.advance(mail, closed)
        waiting, turns = leaving, turns + 1
    return parties, seen


def short(name: str) -> dict[str, Any]:
    """Few epochs and steps."""
    found: dict[str, Any] = {}
    for field, info in CARDS[name].options.model_fields.items():
        if field.endswith("epochs") and info.default > 1:
            found[field] = 1
        if field in ("steps", "patience"):
            found[field] = 4
    return found


def assert_same(config: Any, where: Path, forgetful: bool = False) -> None:
    protocol, env = made(config)
    whole = engine.run(protocol, env, where, resolve(config).defense(env))
    parties, seen = played(config, forgetful)
    assert all(party.over for party in parties)
    through_server = [m for m in whole.transcript.messages if SERVER in (m.sender, m.receiver)]
    assert [replace(m, purpose="") for m in seen] == [replace(m, purpose="") for m in through_server]
    expected = protocol.models(whole.state, env)
    for party in parties:
        own = party.models()
        assert party.name == SERVER or party.name in own or party.name not in expected
        for owner in set(own) & {party.name}:
            assert same_bits(own[owner][1], expected[owner][1]), owner


@pytest.mark.parametrize("name", [name for name in CARDS if name not in ("central",)])
def test_a_protocol_in_parts_is_the_same_federation(name: str, small_config: Configure, tmp_path: Path) -> None:
    assert_same(small_config(protocol=name, options=short(name)), tmp_path)


DEFENDED = {
    "local noise": {
        "protocol": "fedavg",
        "options": {"weighting": "uniform"},
        "defense": {"name": "dp-fedavg", "epsilon": 8.0},
    },
    "noise on predictions": {"protocol": "mutual", "defense": {"name": "gaussian", "epsilon": 8.0}},
    "private training": {
        "protocol": "fedavg",
        "options": {"weighting": "uniform"},
        "defense": {"name": "dp-sgd", "epsilon": 8.0},
    },
    "masks": {
        "protocol": "fedavg",
        "options": {"weighting": "uniform"},
        "defense": {"name": "secure-aggregation"},
    },
}


@pytest.mark.parametrize("settings", DEFENDED.values(), ids=DEFENDED)
def test_a_defense_acts_where_it_stands(settings: Any, small_config: Configure, tmp_path: Path) -> None:
    assert_same(small_config(**settings), tmp_path)


@pytest.mark.parametrize("name", ["mutual", "fedkd", "fml", "profe"])
def test_a_party_goes_on_in_another_process(name: str, small_config: Configure, tmp_path: Path) -> None:
    persistent = {"local_epochs": 1, "optimizer_state": "persistent"}
    assert_same(small_config(protocol=name, options=short(name), training=persistent), tmp_path, forgetful=True)
