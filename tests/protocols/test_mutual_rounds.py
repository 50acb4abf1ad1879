"""Whole rounds of mutual learning: against `local`, who hears what and when, and what averaging adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine, phases
from fedprivacy.protocols.mutual import peer_loss, peer_predictions, released
from fedprivacy.study.resolve import resolve
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.transcript import MemoryStore, Message

Part = Mapping[str, Tensor]


@pytest.fixture
def ran(small_config: Callable[..., Any], tmp_path: Path) -> Callable[..., engine.Federation]:
    """Runs a small federation: ``ran("mutual", {"kl_weight": 0.0}, rounds=1)``."""
    runs = 0

    def run(protocol: str, options: dict[str, Any] | None = None, **changes: Any) -> engine.Federation:
        nonlocal runs
        runs += 1
        config = small_config(protocol=protocol, options=options or {}, **changes)
        env, _ = resolve(config).environment(0)
        return engine.run(resolve(config).protocol, env, tmp_path / str(runs))

    return run


def model(done: engine.Federation, client: int) -> Part:
    return done.state.parts[phases.model_part(client)]


def values(done: engine.Federation, message: Message) -> Tensor:
    payload: Any = done.transcript.payload(message)
    return payload.values  # type: ignore[no-any-return]


def sent(done: engine.Federation, sender: str, receiver: str, round: int = 1) -> list[Message]:
    return [m for m in done.transcript.messages if (m.sender, m.receiver, m.round) == (sender, receiver, round)]


def test_without_the_divergence_it_is_local_training_with_public_labels(ran: Any) -> None:
    mutual = ran("mutual", {"kl_weight": 0.0, "public_epochs": 3})
    local = ran("local", {"public_labels": True, "public_epochs": 3})
    assert list(local.state.parts) == list(mutual.state.parts)
    for part in local.state.parts:
        assert same_bits(local.state.parts[part], mutual.state.parts[part]), part
    assert not same_bits(model(mutual, 0), model(ran("mutual", {"public_epochs": 3}), 0))


def test_one_client_alone_is_local_training_with_public_labels(ran: Any) -> None:
    mutual, local = ran("mutual", {}, clients=1), ran("local", {"public_labels": True}, clients=1)
    assert same_bits(model(mutual, 0), model(local, 0))
    assert [m.receiver for m in mutual.transcript.messages] == ["server", "server"]


def test_predictions_are_taken_after_the_private_and_before_the_public_phase(ran: Any, small_config: Any) -> None:
    done = ran("mutual", {}, rounds=1)
    env, _ = resolve(small_config(protocol="mutual", rounds=1)).environment(0)
    protocol: Any = resolve(RunConfig()).protocol
    private = protocol.private_phase(protocol.init(env).state, 1, env).state
    fold = env.records(env.public_ids(1))
    for client in range(3):
        logits = env.workbench.logits("mlp", private.parts[phases.model_part(client)], fold.x)
        (message,) = sent(done, f"client-{client}", "server")
        assert torch.equal(values(done, message), torch.softmax(logits, dim=1))
        assert message.payload_bytes == 20 * 10 * 4


def test_every_client_hears_every_other_once_and_by_name(ran: Any) -> None:
    done = ran("mutual", {}, rounds=1)
    for client in range(3):
        heard = sent(done, "server", f"client-{client}")
        assert [m.purpose for m in heard] == [f"of client-{peer}" for peer in range(3) if peer != client]
        for message in heard:
            (original,) = sent(done, message.purpose.removeprefix("of "), "server")
            assert message.digest == original.digest


def test_the_mean_of_peers_is_one_vector_and_the_same_training(ran: Any) -> None:
    everyone = ran("mutual", {"kl_direction": "peer_own"}, training={"optimizer": "sgd", "lr": 0.5})
    mean = ran("mutual", {"kl_direction": "peer_own", "peer_mode": "mean"}, training={"optimizer": "sgd", "lr": 0.5})
    for client in range(3):
        (message,) = sent(mean, "server", f"client-{client}")
        others = [values(mean, sent(mean, f"client-{p}", "server")[0]) for p in range(3) if p != client]
        torch.testing.assert_close(values(mean, message), torch.stack(others).mean(0), rtol=1e-5, atol=1e-7)
        for name in model(mean, client):
            torch.testing.assert_close(model(mean, client)[name], model(everyone, client)[name], rtol=1e-4, atol=1e-5)


def test_later_clients_hear_the_new_predictions_of_earlier_ones(ran: Any, small_config: Any) -> None:
    done = ran("mutual", {"update_order": "sequential"}, rounds=1)
    plain = ran("mutual", {}, rounds=1)
    assert same_bits(model(done, 0), model(plain, 0))
    assert not same_bits(model(done, 1), model(plain, 1))
    env, _ = resolve(small_config(protocol="mutual", rounds=1)).environment(0)
    fold = env.records(env.public_ids(1))
    renewed = [m for m in done.transcript.messages if m.purpose == "renewed"]
    assert [m.sender for m in renewed] == ["client-0", "client-1"]
    for client, message in enumerate(renewed):
        logits = env.workbench.logits("mlp", model(done, client), fold.x)
        torch.testing.assert_close(values(done, message), torch.softmax(logits, dim=1))
    told = [(m.receiver, m.purpose) for m in done.transcript.messages if m.digest in {r.digest for r in renewed}]
    assert told[1:3] == [("client-1", "of client-0"), ("client-2", "of client-0")]
    assert told[4:] == [("client-2", "of client-1")]


def test_the_last_client_of_a_sequence_trains_on_what_it_heard_last(ran: Any, small_config: Any) -> None:
    options = {"update_order": "sequential"}
    done = ran("mutual", options, rounds=1)
    config = small_config(protocol="mutual", options=options, rounds=1)
    env, _ = resolve(config).environment(0)
    protocol: Any = resolve(config).protocol
    private = protocol.private_phase(protocol.init(env).state, 1, env).state
    fold = env.records(env.public_ids(1))
    newest = {m.sender: done.transcript.payload(m) for m in done.transcript.messages if m.receiver == "server"}
    peers = [peer_predictions(newest[f"client-{k}"], phases.as_labels(fold)) for k in (0, 1)]  # type: ignore[arg-type]
    learner = phases.load(env, private, 2)
    phases.fit_public(learner, fold, 5, env, 2, 1, peer_loss(peers, protocol.options))
    assert same_bits(learner.weights(), model(done, 2))


def test_averaging_adds_the_weights_of_all_up_and_down(ran: Any) -> None:
    plain = ran("mutual", {}, rounds=1)
    averaged = ran("mutual", {"average_weights": True}, rounds=1)
    mean = weighted_mean([model(plain, client) for client in range(3)])
    assert all(same_bits(model(averaged, client), mean) for client in range(3))
    assert {event.release for event in averaged.events} == {"predictions", "weights"}
    extra = averaged.transcript.messages[len(plain.transcript.messages) :]
    weights = 4 * sum(t.numel() for t in mean.values())
    assert [(m.kind, m.payload_bytes) for m in extra] == [("weights", weights)] * 6


def test_a_static_set_is_one_fold_in_all_rounds(ran: Any) -> None:
    for public_set, distinct in (("static", 1), ("dynamic", 3)):
        done = ran("mutual", {}, rounds=3, data={"public_set": public_set})
        assert len({tuple(fold.records.tolist()) for fold in done.transcript.folds}) == distinct
        assert all(len(fold.records) == 20 for fold in done.transcript.folds)


def test_public_labels_are_delivered_only_where_they_are_used(ran: Any) -> None:
    for labels in (True, False):
        fold = ran("mutual", {"public_labels": labels}, rounds=1).transcript.folds[0]
        assert fold.labelled == labels and fold.receivers == 3
        assert fold.bytes == 20 * 64 + (20 if labels else 0)


@pytest.mark.parametrize("public_optimizer", ["fresh", "persistent"])
def test_private_moments_are_stale_after_a_fresh_public_phase(ran: Any, public_optimizer: str) -> None:
    """60 candidates, about half of them members, in batches of 32: steps of one pass, and of five over 20 records."""
    done = ran("mutual", {"public_optimizer": public_optimizer}, rounds=1, data={"inclusion": 1.0})
    moments = done.state.parts[phases.moments_part(0)]
    steps = {int(value) for name, value in moments.items() if name.endswith(".step")}
    assert steps == ({2} if public_optimizer == "fresh" else {2 + 5})


def test_a_client_that_takes_no_part_keeps_its_model_and_hears_nothing(ran: Any, small_config: Any) -> None:
    done = ran("mutual", {}, rounds=1, clients=4, participation=0.5)
    env, _ = resolve(small_config(protocol="mutual", rounds=1, clients=4, participation=0.5)).environment(0)
    start = resolve(RunConfig()).protocol.init(env).state
    taking = env.participants(1)
    assert len(taking) == 2
    for client in range(4):
        same = same_bits(model(done, client), start.parts[phases.model_part(client)])
        assert same == (client not in taking)
        heard = [m for m in done.transcript.messages if f"client-{client}" in (m.sender, m.receiver)]
        assert bool(heard) == (client in taking)


def test_a_look_is_the_accuracy_before_training_on_the_fold(ran: Any, small_config: Any) -> None:
    done = ran("mutual", {}, rounds=1)
    env, _ = resolve(small_config(protocol="mutual", rounds=1)).environment(0)
    labels = env.records(env.public_ids(1)).y
    looks = [row for row in done.history if row.phase == "look"]
    for client, row in enumerate(looks):
        told = values(done, sent(done, f"client-{client}", "server")[0]).numpy()
        assert row.client == client and row.accuracy == pytest.approx((told.argmax(1) == labels).mean())
        assert row.loss == pytest.approx(-np.log(told[np.arange(20), labels]).mean(), rel=1e-4)


def test_losses_and_labels_weigh_what_the_table_says(ran: Any) -> None:
    for payload, size in (("losses", 4), ("labels", 1), ("logits", 40)):
        direction = "peer_own" if payload == "labels" else "own_peer"
        done = ran("mutual", {"payload": payload, "kl_direction": direction}, rounds=1)
        assert {m.payload_bytes for m in done.transcript.messages} == {20 * size}


def test_hand_made_channels_share_the_same_predictions(small_config: Any) -> None:
    env, _ = resolve(small_config(protocol="mutual")).environment(0)
    protocol: Any = resolve(RunConfig()).protocol
    state = protocol.init(env).state
    shared = protocol.share(state, 1, env, Channel(1, MemoryStore()))
    fold = env.records(env.public_ids(1))
    logits = env.workbench.logits("mlp", state.parts["client-1/model"], fold.x)
    assert torch.equal(shared.received[1].values, released(logits, phases.as_labels(fold), "probabilities"))
    assert shared.fold.records.tolist() == env.division.public[0].tolist()
