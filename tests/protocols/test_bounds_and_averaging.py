"""FedAvg, layer groups in turn, and the two bounds: against training by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine, phases
from fedprivacy.federation.environment import Environment
from fedprivacy.protocols.layerwise_async import merge
from fedprivacy.study.resolve import resolve
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.parties import SERVER

Part = Mapping[str, Tensor]
Ran = tuple[Environment, engine.Federation]
WHOLE: dict[str, Any] = {"batch_size": 1000, "optimizer": "sgd", "lr": 0.1}
"""Whole-fold batches: the order of records does not matter."""


@pytest.fixture
def ran(small_config: Callable[..., Any], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a small federation and gives its environment too."""
    runs = 0

    def run(protocol: str, options: dict[str, Any] | None = None, **changes: Any) -> Ran:
        nonlocal runs
        runs += 1
        config = small_config(protocol=protocol, options=options or {}, **{"rounds": 1, **changes})
        env, _ = resolve(config).environment(0)
        return env, engine.run(resolve(config).protocol, env, tmp_path / str(runs))

    return run


def close(a: Part, b: Part, tolerance: float = 1e-6) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[n], b[n], atol=tolerance, rtol=1e-5) for n in a)


def test_fedavg_is_the_mean_of_what_the_clients_trained_alone(ran: Any) -> None:
    _, local = ran("local")
    own = [local.state.parts[phases.model_part(client)] for client in range(3)]
    env, weighted = ran("fedavg")
    counts = [len(env.private(client, 1)) for client in range(3)]
    assert len(set(counts)) > 1
    assert same_bits(weighted.state.parts["server/model"], weighted_mean(own, counts))
    _, uniform = ran("fedavg", {"weighting": "uniform"})
    assert same_bits(uniform.state.parts["server/model"], weighted_mean(own))
    for client in range(3):
        assert same_bits(uniform.state.parts[phases.model_part(client)], uniform.state.parts["server/model"])


def test_fedavg_sends_weights_up_and_down_and_counts_only_where_they_weigh(ran: Any) -> None:
    env, done = ran("fedavg")
    size = 4 * sum(t.numel() for t in done.state.parts["server/model"].values())
    assert [(m.sender, m.kind, m.payload_bytes) for m in done.transcript.messages if m.receiver == SERVER] == [
        (f"client-{client}", kind, bytes_)
        for client in range(3)
        for kind, bytes_ in (("weights", size), ("scalars", 4))
    ]
    for message in done.transcript.messages:
        if message.kind == "scalars":
            told: Any = done.transcript.payload(message)
            assert int(told.tensors["records"]) == len(env.private(int(message.sender[-1]), 1))
    _, uniform = ran("fedavg", {"weighting": "uniform"})
    assert {m.kind for m in uniform.transcript.messages} == {"weights"}


def test_one_client_of_fedavg_is_central_training(ran: Any) -> None:
    for rounds in (1, 2):
        _, alone = ran("fedavg", clients=1, rounds=rounds, training=WHOLE)
        _, central = ran("central", clients=1, rounds=rounds, training=WHOLE)
        assert close(alone.state.parts["server/model"], central.state.parts["client-0/model"])


def test_equal_pools_in_whole_batches_average_to_central_training(ran: Any) -> None:
    """One step of SGD on every record at once: the n_k mean of the clients' steps is the central step."""
    _, averaged = ran("fedavg", training=WHOLE)
    _, central = ran("central", training=WHOLE)
    assert close(averaged.state.parts["server/model"], central.state.parts["client-0/model"])
    _, uniform = ran("fedavg", {"weighting": "uniform"}, training=WHOLE)
    assert not close(uniform.state.parts["server/model"], central.state.parts["client-0/model"])


def test_only_the_sampled_clients_are_averaged(ran: Any) -> None:
    env, done = ran("fedavg", clients=4, participation=0.5)
    _, local = ran("local", clients=4)
    taking = env.participants(1)
    own = [local.state.parts[phases.model_part(client)] for client in taking]
    counts = [len(env.private(client, 1)) for client in taking]
    assert same_bits(done.state.parts["server/model"], weighted_mean(own, counts))
    assert {m.sender for m in done.transcript.messages if m.receiver == SERVER} == {f"client-{c}" for c in taking}


def test_where_everybody_drops_out_the_model_stays(ran: Any) -> None:
    env, done = ran("fedavg", rounds=2, dropout_rate=0.999, clients=2)
    assert not env.senders(1) and not env.senders(2)
    start = resolve(RunConfig(protocol="fedavg")).protocol.init(env).state
    assert same_bits(done.state.parts["server/model"], start.parts["server/model"])
    assert not done.events


def test_the_fair_baseline_trains_on_public_labels_before_the_mean(ran: Any) -> None:
    _, local = ran("local", {"public_labels": True})
    _, done = ran("fedavg", {"public_labels": True, "weighting": "uniform"})
    own = [local.state.parts[phases.model_part(client)] for client in range(3)]
    assert same_bits(done.state.parts["server/model"], weighted_mean(own))
    assert done.transcript.folds[0].receivers == 3 and done.transcript.folds[0].labelled


def test_persistent_moments_survive_the_exchange_of_weights(ran: Any) -> None:
    for optimizer_state, steps in (("persistent", {4}), ("fresh", set())):
        training = {"optimizer_state": optimizer_state}
        _, done = ran("fedavg", rounds=2, data={"inclusion": 1.0}, training=training)
        moments = done.state.parts[phases.moments_part(0)]
        assert {int(v) for name, v in moments.items() if name.endswith(".step")} == steps


@pytest.mark.parametrize("normalise", ["sum", "clients"])
def test_a_round_of_layer_groups_by_hand(ran: Any, normalise: str) -> None:
    """Rounds 1 and 2: the shallow group; 3 of ``deep_every`` 3: the deep one. The rest stays with each client."""
    options = {"normalise": normalise, "server_epochs": 0}
    data = {"validation": 0.2}
    _, local = ran("local", data=data)
    own = [local.state.parts[phases.model_part(client)] for client in range(3)]
    env, done = ran("layerwise-async", options, data=data)
    accuracies = []
    for client in range(3):
        held_out = env.validation(client, 1)
        guessed = env.workbench.logits("mlp", own[client], held_out.x).argmax(1).numpy()
        accuracies.append(float(np.float32((guessed == held_out.y).mean())))
    told = [
        float(done.transcript.payload(m).tensors["accuracy"])  # type: ignore[attr-defined]
        for m in done.transcript.messages
        if m.purpose == "accuracy"
    ]
    assert told == accuracies and len(set(told)) > 1
    total = sum(accuracies) if normalise == "sum" else 3
    for client in range(3):
        mine = done.state.parts[phases.model_part(client)]
        for name in mine:
            if name.startswith("head."):
                assert torch.equal(mine[name], own[client][name])
            else:
                mean = sum(v * o[name].double() for v, o in zip(accuracies, own, strict=True)) / total
                torch.testing.assert_close(mine[name].double(), mean, atol=1e-7, rtol=1e-6)


def test_the_server_trains_its_model_before_it_sends_the_group(ran: Any) -> None:
    env, plain = ran("layerwise-async", {"server_epochs": 0})
    _, done = ran("layerwise-async", {"server_epochs": 2})
    learner = env.workbench.learner("mlp", plain.state.parts["server/model"])
    phases.fitted(learner, env.records(env.public_ids(1)), 2, env, ("server", "round", 1, "public"), "test", -1, 1)
    assert same_bits(learner.weights(), done.state.parts["server/model"])
    for name in ("hidden.weight", "hidden.bias"):
        assert torch.equal(done.state.parts["client-1/model"][name], learner.weights()[name])
    assert torch.equal(
        done.state.parts["client-1/model"]["head.bias"], plain.state.parts["client-1/model"]["head.bias"]
    )


@pytest.mark.parametrize("state", ["fresh", "persistent"])
def test_the_server_keeps_a_part_back_and_its_moments(ran: Any, state: str) -> None:
    """As published: the first 70% of each fold train, by one optimiser over all rounds."""
    options = {"server_epochs": 2, "server_share": 0.7, "server_optimizer": state}
    env, done = ran("layerwise-async", options, rounds=3)
    own = [ran("layerwise-async", options, rounds=rounds)[1].state.parts for rounds in (1, 2)]
    start = own[1]["server/model"], own[1]["server/moments"]
    sent = {m.sender: m for m in done.transcript.messages if m.round == 3 and m.purpose == "group"}
    clients = [done.transcript.payload(sent[f"client-{k}"]).tensors for k in range(3)]  # type: ignore[attr-defined]
    weights = [
        float(done.transcript.payload(m).tensors["accuracy"])  # type: ignore[attr-defined]
        for m in done.transcript.messages
        if m.round == 3 and m.purpose == "accuracy"
    ]
    learner = env.workbench.learner("mlp", {**start[0], **merge(clients, weights, "sum")}, start[1])
    fold = env.public_ids(3)
    records = env.records(fold[: int(len(fold) * 0.7)])
    phases.fitted(learner, records, 2, env, ("server", "round", 3, "public"), "test", -1, 3)
    assert same_bits(learner.weights(), done.state.parts["server/model"])
    moments = done.state.parts["server/moments"]
    steps = 2 * -(-len(records) // env.settings.training.batch_size)
    assert {int(v) for name, v in moments.items() if name.endswith("step")} == ({3 * steps} if start[1] else set())
    assert bool(start[1]) == (state == "persistent") and len(records) < len(fold)


def test_the_groups_take_turns_and_together_are_the_model(ran: Any) -> None:
    _, done = ran("layerwise-async", {"deep_every": 3}, rounds=4)
    sent = {m.round: m for m in done.transcript.messages if m.sender == "client-0" and m.purpose == "group"}
    names = {round: set(done.transcript.payload(m).tensors) for round, m in sent.items()}  # type: ignore[attr-defined]
    assert names[3] == {"head.weight", "head.bias"}
    assert names[1] == names[2] == names[4] == {"hidden.weight", "hidden.bias"}


values = st.floats(-5, 5)


@given(st.lists(st.tuples(values, st.floats(0, 1)), min_size=1, max_size=6))
def test_merging_groups_against_its_formula(clients: list[tuple[float, float]]) -> None:
    states = [{"w": torch.tensor([w], dtype=torch.float64)} for w, _ in clients]
    accuracies = [v for _, v in clients]
    weighted, total = sum(w * v for w, v in clients), sum(accuracies)
    published = merge(states, accuracies, "clients")["w"]
    assert float(published) == pytest.approx(weighted / len(clients), abs=1e-9)
    if total > 1e-6:
        assert float(merge(states, accuracies, "sum")["w"]) == pytest.approx(weighted / total, rel=1e-6, abs=1e-9)
    assert float(merge(states, [0.0] * len(states), "sum")["w"]) == pytest.approx(
        sum(w for w, _ in clients) / len(clients), abs=1e-9
    )


def test_dividing_by_the_clients_shrinks_equal_groups_by_the_mean_accuracy() -> None:
    states = [{"w": torch.ones(2)}] * 4
    assert merge(states, [0.9] * 4, "clients")["w"].tolist() == pytest.approx([0.9, 0.9])
    assert merge(states, [0.9] * 4, "sum")["w"].tolist() == [1.0, 1.0]


def test_local_training_sends_nothing_and_needs_nobody(ran: Any) -> None:
    _, three = ran("local", rounds=2)
    _, two = ran("local", rounds=2, clients=2)
    assert not three.transcript.messages and not three.transcript.folds and not three.events
    for client in range(2):
        part = phases.model_part(client)
        assert same_bits(three.state.parts[part], two.state.parts[part])


def test_central_training_matches_epochs_or_steps(ran: Any) -> None:
    for match, public, passes in (("epochs", False, 6), ("steps", False, 2), ("epochs", True, 6)):
        options = {"match": match, "public_labels": public}
        _, done = ran("central", options, training={"local_epochs": 6}, data={"inclusion": 1.0})
        assert len(done.history) == passes
        assert done.state.parts["client-0/model"] and "client-1/model" not in done.state.parts
        steps = {int(v) for name, v in done.state.parts["client-0/moments"].items() if name.endswith(".step")}
        assert steps == {passes * -(-(180 + (20 if public else 0)) // 32)}
