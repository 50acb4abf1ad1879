"""Sizes on the wire against the size formulas, message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedprivacy.wire.codec import value_bytes
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.transcript import Message

MakeWorld = Callable[..., Any]
N, C = 16, 3
TINY = 5 * 6 + 6 + 6 * 3 + 3
"""Parameters of the tiny model."""
SHORT = {"feddf": {"steps": 5, "patience": 5}}
WEIGHTS = 4 * TINY
COUNT = 4


def sizes(messages: list[Message], sender: str | None) -> set[int]:
    """Payload bytes a round of one client up, or of the server to one client."""
    chosen = [m for m in messages if (m.sender == sender if sender else m.sender == SERVER)]
    totals: dict[tuple[int, str], int] = {}
    for m in chosen:
        key = (m.round, "" if sender else m.receiver)
        totals[key] = totals.get(key, 0) + m.payload_bytes
    return set(totals.values())


@pytest.mark.parametrize(
    ("name", "options", "up", "down"),
    [
        ("fedavg", {}, WEIGHTS + COUNT, WEIGHTS),
        ("fedavg", {"weighting": "uniform"}, WEIGHTS, WEIGHTS),
        ("fedprox", {}, WEIGHTS + COUNT, WEIGHTS),
        ("fedckd", {}, WEIGHTS + COUNT, WEIGHTS),
        ("feddf", {}, WEIGHTS + COUNT, WEIGHTS),
        ("feddf", {"weighting": "uniform"}, WEIGHTS, WEIGHTS),
        ("fml", {}, WEIGHTS, WEIGHTS),
        ("fml", {"weighting": "records"}, WEIGHTS + COUNT, WEIGHTS),
        ("fedmd", {}, N * C * 4, N * C * 4),
        ("fedmd", {"consensus_weights": "validation"}, N * C * 4 + 4, N * C * 4),
        ("ds-fl", {}, N * C * 4, N * C * 4),
        ("cfd", {"bits_up": 32, "bits_down": 32}, N * C * 4, N * C * 4),
        ("fedkd-hybrid", {}, N * C * 4 + WEIGHTS + COUNT, N * C * 4 + WEIGHTS),
        ("fedkd-hybrid", {"shared_layers": ("hidden",)}, N * C * 4 + 4 * 36 + COUNT, N * C * 4 + 4 * 36),
        ("mutual", {}, N * C * 4, 2 * N * C * 4),
        ("mutual", {"peer_mode": "mean"}, N * C * 4, N * C * 4),
        ("fedkd", {"energy_start": 1.0, "energy_end": 1.0}, WEIGHTS, WEIGHTS),
    ],
)
def test_size_formulas(name: str, options: dict[str, Any], up: int, down: int, world: MakeWorld) -> None:
    done = world(name, {**SHORT.get(name, {}), **options}).run()
    messages = list(done.transcript.messages)
    for client in range(3):
        assert sizes(messages, f"client-{client}") == {up}
    assert sizes(messages, None) == {down}


@pytest.mark.parametrize("name", ["fedmd", "ds-fl", "mutual"])
def test_one_sigmoid_is_four_bytes_a_record(name: str, world: MakeWorld) -> None:
    done = world(name, classes=2, training={"output": "sigmoid"}).run()
    assert sizes(list(done.transcript.messages), "client-0") == {N * 4}


@pytest.mark.parametrize("name", ["fedasync", "fedbuff"])
def test_every_push_and_pull_is_one_model(name: str, world: MakeWorld) -> None:
    done = world(name).run()
    assert {m.payload_bytes for m in done.transcript.messages} == {WEIGHTS}


def test_fedproto_sends_its_own_classes_alone(world: MakeWorld) -> None:
    here = world("fedproto")
    for x in ([0, 0, 1], [2]):
        here.dataset.y_train[here.env.members[0][0][: len(x)]] = x
    here.dataset.y_train[here.env.members[1][0]] = 2
    done = here.run()
    per_class = 6 * 4 + 2
    for client in range(3):
        held = len(set(here.env.private(client, 1).y.tolist()))
        assert sizes(list(done.transcript.messages), f"client-{client}") == {held * per_class}
    assert sizes(list(done.transcript.messages), "client-1") == {per_class}
    assert sizes(list(done.transcript.messages), None) == {3 * per_class}


@pytest.mark.parametrize("bits", [32, 16])
def test_profe_sends_half_width_weights_and_prototypes_to_two_neighbours(bits: int, world: MakeWorld) -> None:
    here = world("profe", {"prototype_bits": bits}, sizes=(20, 20, 20, 20, 20))
    done = here.run()
    messages = done.transcript.messages
    assert all(SERVER not in (m.sender, m.receiver) for m in messages)
    for client in range(5):
        sent = [m for m in messages if m.sender == f"client-{client}" and m.round == 1]
        assert {m.receiver for m in sent} == {f"client-{(client + 1) % 5}", f"client-{(client - 1) % 5}"}
        held = len(set(here.env.private(client, 1).y.tolist()))
        assert sum(m.payload_bytes for m in sent) == 2 * (2 * TINY + held * (6 * bits // 8 + 2))


def test_fedkd_sends_the_factors(world: MakeWorld) -> None:
    done = world("fedkd", training={"model": "mid"}).run()
    dense = 4 * (40 * 5 + 40 + 40 * 3 + 3)
    sent = {m.payload_bytes for m in done.transcript.messages}
    assert max(sent) <= dense
    assert min(sent) < dense
    for message in done.transcript.messages:
        data = done.transcript.store.get(message.digest)
        assert message.payload_bytes == value_bytes(data)
        ranks = [
            (message.payload_bytes - 4 * 43 - 4 * (a * 46 or 200) - 4 * (b * 44 or 120))
            for a in range(5)
            for b in range(3)
        ]
        assert 0 in ranks, "not vectors dense and matrices in K (P + Q + 1) numbers, or dense"


def test_cfd_stays_below_the_logarithm_of_the_classes(world: MakeWorld) -> None:
    done = world("cfd", {"delta": "off"}).run()
    slack = (C - 1) / 2 * np.log2(N) / 8 + 3
    for message in done.transcript.messages:
        assert message.kind == "coded-labels"
        assert message.payload_bytes <= N * np.log2(C) / 8 + slack


def test_public_records_are_delivered_as_often_as_they_change(world: MakeWorld) -> None:
    record = 5 * 4
    expected = {
        "mutual": 3 * 3 * N * (record + 1),
        "ds-fl": 3 * 3 * N * record,
        "fedkd-hybrid": 3 * 3 * N * record,
        "cfd": 3 * N * record,
        "fedmd": 3 * 3 * N * (record + 1),
        "feddf": 0,
    }
    for name, total in expected.items():
        done = world(name, SHORT.get(name)).run()
        assert sum(fold.bytes * fold.receivers for fold in done.transcript.folds) == total, name
        assert [fold.round for fold in done.transcript.folds if fold.round] == [1, 2, 3]
