"""CFD over rounds: coding changes the bytes and nothing else, fixed records, common start, absent clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.training.label_coding import decoded
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.payloads import CodedLabels

MakeWorld = Callable[..., Any]


def test_delta_coding_changes_the_bytes_and_nothing_else(world: MakeWorld) -> None:
    on, off = (world("cfd", {"delta": delta}, rounds=5).run() for delta in ("on", "off"))
    for part, content in on.state.parts.items():
        for name, tensor in content.items():
            assert torch.equal(tensor, off.state.parts[part][name]), (part, name)
    late = [[m for m in done.transcript.messages if m.round >= 3] for done in (on, off)]
    assert [m.sender for m in late[0]] == [m.sender for m in late[1]]
    assert [m.digest for m in late[0]] != [m.digest for m in late[1]]


@pytest.mark.parametrize("changes", [{}, {"participation": 0.5}, {"dropout_rate": 0.4}], ids=str)
def test_a_reader_of_the_wire_decodes_every_change(changes: dict[str, Any], world: MakeWorld) -> None:
    """With nothing but the transcript: changes refer to the last labels on the same link."""
    here = world("cfd", {"delta": "on"}, rounds=6, sizes=(6, 6, 6, 6), **changes)
    done = here.run()
    last: dict[tuple[str, str], np.ndarray] = {}
    plain = 0
    for message in done.transcript.messages:
        payload = done.transcript.payload(message)
        assert isinstance(payload, CodedLabels)
        link = (message.sender, message.receiver)
        levels = decoded(payload, last.get(link))
        assert (levels.sum(axis=1) == 1).all()
        plain += not payload.delta
        last[link] = levels
    for client in range(4):
        held = done.state.parts[f"client-{client}/sent"]
        if held:
            np.testing.assert_array_equal(held["levels"].numpy(), last[f"client-{client}", SERVER])
    assert plain < len(done.transcript.messages)


def test_the_records_are_the_same_in_every_round(world: MakeWorld) -> None:
    here = world("cfd")
    folds = here.run().transcript.folds
    assert not np.array_equal(here.env.division.public[0], here.env.division.public[1])
    assert all(np.array_equal(fold.records, here.env.division.public[0]) for fold in folds)
    assert [fold.receivers for fold in folds] == [3, 0, 0]


def test_clients_begin_each_round_from_the_common_weights(world: MakeWorld) -> None:
    """Without dual distillation nothing but the private records remains, and they are the same every round."""
    training = {"batch_size": 100}
    here = world("cfd", {"dual_epochs": 0, "delta": "off"}, training=training)
    parts = here.run().state.parts
    once = world("cfd", {"dual_epochs": 0, "delta": "off"}, rounds=1, training=training).run().state.parts
    for client in range(3):
        for name, tensor in parts[f"client-{client}/model"].items():
            torch.testing.assert_close(tensor, once[f"client-{client}/model"][name], rtol=1e-4, atol=1e-6)
    kept = world("cfd", {"dual_epochs": 0, "start": "keep"}, training=training).run().state.parts
    assert not torch.allclose(kept["client-0/model"]["head.weight"], once["client-0/model"]["head.weight"], atol=1e-4)


def test_the_server_sends_to_those_who_come_next(world: MakeWorld) -> None:
    here = world("cfd", rounds=5, sizes=(6, 6, 6, 6), participation=0.5)
    done = here.run()
    for number in range(1, 6):
        receivers = {m.receiver for m in done.transcript.messages if m.sender == SERVER and m.round == number}
        coming = {f"client-{c}" for c in here.env.participants(number + 1)} if number < 5 else set()
        assert receivers == coming


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_that_arrive_are_on_the_grid(bits: int, world: MakeWorld) -> None:
    here = world("cfd", {"bits_up": bits, "bits_down": bits, "delta": "off"}, rounds=2)
    labels = here.run().state.parts["server/labels"]["probabilities"]
    steps = labels.double() * (2**bits - 1)
    assert torch.allclose(steps, steps.round(), atol=1e-5)
    assert torch.allclose(labels.sum(dim=1), torch.ones(len(labels)), atol=1e-6)


def test_more_bits_are_nearer_to_floats(world: MakeWorld) -> None:
    def labels(bits: int) -> torch.Tensor:
        options = {"bits_up": bits, "bits_down": bits, "delta": "off"}
        found: torch.Tensor = world("cfd", options, rounds=2).run().state.parts["server/labels"]["probabilities"]
        return found

    exact = labels(32)
    errors = [float((labels(bits) - exact).abs().mean()) for bits in (1, 3, 8)]
    assert errors[0] > errors[1] > errors[2]


def test_shared_predictions_are_what_the_server_decodes(world: MakeWorld) -> None:
    here = world("cfd")
    protocol = here.protocol
    from fedprivacy.wire.channel import Channel
    from fedprivacy.wire.transcript import MemoryStore

    state = protocol.private_phase(protocol.init(here.env).state, 1, here.env).state
    shared = protocol.share(state, 1, here.env, Channel(1, MemoryStore()))
    for payload in shared.received.values():
        assert isinstance(payload, Predictions)
        assert payload.form == "probabilities"
        assert set(payload.values.unique().tolist()) <= {0.0, 1.0}
