"""Federations without a server: who sends what along which edge, and what the mix converges to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from torch.func import functional_call

from fedprivacy.adversary.sight import Sight
from fedprivacy.adversary.threat import Adversary
from fedprivacy.cli.settings import configuration
from fedprivacy.config.base import UsageError
from fedprivacy.federation.environment import Part
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.graph import graph

MakeWorld = Callable[..., Any]
SERVERLESS = ["dfedavg", "gossip-mutual", "profe"]
TOPOLOGIES = ["ring", "star", "full", "random-regular:3", "0-1 1-2 2-3 3-4 4-5 1-4"]
SIX = (9, 8, 10, 9, 8, 11)
STILL = {"optimizer": "sgd", "lr": 1e-30}


def flat(part: Part) -> torch.Tensor:
    return torch.cat([part[name].double().flatten() for name in sorted(part)])


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("name", SERVERLESS)
def test_messages_cross_the_edges_alone_and_all_of_them(name: str, topology: str, world: MakeWorld) -> None:
    done = world(name, sizes=SIX, topology=topology, rounds=2).run()
    crossed = {(m.sender, m.receiver) for m in done.transcript.messages}
    edges = graph(topology, 6).edges
    assert crossed == {(f"client-{a}", f"client-{b}") for pair in edges for a, b in (pair, pair[::-1])}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_bytes_follow_the_edges(topology: str, world: MakeWorld) -> None:
    done = world("dfedavg", sizes=SIX, topology=topology, rounds=2).run()
    weights = 4 * (6 * 5 + 6 + 3 * 6 + 3)
    assert sum(m.payload_bytes for m in done.transcript.messages) == 2 * 2 * len(graph(topology, 6).edges) * weights


@pytest.mark.parametrize("mixing", ["metropolis", "uniform"])
def test_where_everybody_hears_everybody_it_is_uniform_federated_averaging(mixing: str, world: MakeWorld) -> None:
    central = world("fedavg", {"weighting": "uniform"}, sizes=SIX).run().state.parts["server/model"]
    parts = world("dfedavg", {"mixing": mixing}, sizes=SIX, topology="full").run().state.parts
    for client in range(6):
        torch.testing.assert_close(flat(parts[f"client-{client}/model"]), flat(central), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_without_training_models_keep_their_mean_and_contract_by_the_spectral_gap(
    topology: str, world: MakeWorld
) -> None:
    """The oracle is the mixing matrix that networkx' Laplacian and degrees give, applied to the starts."""
    here = world("dfedavg", sizes=SIX, topology=topology, rounds=4, training={**STILL, "init": "independent"})
    start = here.protocol.init(here.env).state.parts
    first = torch.stack([flat(start[f"client-{k}/model"]) for k in range(6)]).numpy()
    drawn = networkx.Graph(sorted(graph(topology, 6).edges))
    mix = np.zeros((6, 6))
    for a, b in drawn.edges:
        mix[a, b] = mix[b, a] = 1 / (1 + max(drawn.degree[a], drawn.degree[b]))
    mix += np.diag(1 - mix.sum(axis=1))
    end = here.run().state.parts
    last = torch.stack([flat(end[f"client-{k}/model"]) for k in range(6)]).numpy()
    np.testing.assert_allclose(last, np.linalg.matrix_power(mix, 4) @ first, atol=1e-5)
    gap = np.sort(np.abs(np.linalg.eigvalsh(mix)))[-2]
    apart = [np.linalg.norm(found - first.mean(axis=0)) for found in (first, last)]
    assert apart[1] <= gap**4 * apart[0] + 1e-4


def test_uniform_weights_favour_the_hub_of_a_star_and_metropolis_weights_do_not(world: MakeWorld) -> None:
    def mean_moved(mixing: str) -> float:
        training = {**STILL, "init": "independent"}
        here = world("dfedavg", {"mixing": mixing}, sizes=SIX, topology="star", rounds=1, training=training)
        start, end = here.protocol.init(here.env).state.parts, here.run().state.parts
        means = [torch.stack([flat(parts[f"client-{k}/model"]) for k in range(6)]).mean(0) for parts in (start, end)]
        return float((means[0] - means[1]).norm())

    assert mean_moved("metropolis") < 1e-5 < 0.1 < mean_moved("uniform")


def test_one_that_drops_out_is_missed_and_the_rest_go_on(world: MakeWorld) -> None:
    here = world("dfedavg", sizes=SIX, topology="star", rounds=2, dropout_rate=0.5, training={**STILL})
    parts = here.run().state.parts
    start = here.protocol.init(here.env).state.parts
    for client in range(6):  # equal starts: whatever is missed, a weighted mean of equals is the same
        close = flat(parts[f"client-{client}/model"]), flat(start[f"client-{client}/model"])
        torch.testing.assert_close(*close, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("absent", [{"dropout_rate": 0.5}, {"participation": 0.5}])
def test_the_mean_of_all_models_outlives_dropout(topology: str, absent: dict[str, float], world: MakeWorld) -> None:
    training = {**STILL, "init": "independent"}
    here = world("dfedavg", sizes=SIX, topology=topology, rounds=4, training=training, **absent)
    counts = [len(here.env.senders(round)) for round in range(1, 5)]
    assert 0 < sum(counts) < 4 * 6
    start, end = here.protocol.init(here.env).state.parts, here.run().state.parts
    models = [torch.stack([flat(parts[f"client-{k}/model"]) for k in range(6)]) for parts in (start, end)]
    torch.testing.assert_close(models[0].mean(0), models[1].mean(0), rtol=0, atol=1e-6)
    assert not torch.allclose(*models, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "part"), [("dfedavg", "model"), ("gossip-mutual", "model"), ("profe", "student"), ("profe", "prototypes")]
)
def test_who_drops_out_hears_nothing(name: str, part: str, world: MakeWorld) -> None:
    """Its model is the one that it has where it has no neighbour who sends."""
    training = {"init": "independent"}
    here = world(name, sizes=SIX, topology="full", rounds=1, dropout_rate=0.5, training=training)
    alone = world(name, sizes=SIX, topology="full", rounds=1, dropout_rate=1 - 1e-12, training=training)
    assert not alone.env.senders(1)
    ends, own = here.run().state.parts, alone.run().state.parts
    kept = [torch.equal(flat(ends[f"client-{k}/{part}"]), flat(own[f"client-{k}/{part}"])) for k in range(6)]
    assert kept == [k not in here.env.senders(1) for k in range(6)] and len(set(kept)) == 2


def test_gossip_mutual_learning_without_weight_is_local_training(world: MakeWorld) -> None:
    alone = world("local", sizes=SIX).run().state.parts
    parts = world("gossip-mutual", {"weight": 0.0}, sizes=SIX, topology="star").run().state.parts
    for client in range(6):
        assert torch.equal(flat(parts[f"client-{client}/model"]), flat(alone[f"client-{client}/model"]))


def test_one_round_of_gossip_mutual_learning_is_two_steps_written_out(world: MakeWorld) -> None:
    training = {"optimizer": "sgd", "lr": 0.1, "batch_size": 100, "local_epochs": 1, "init": "independent"}
    here = world("gossip-mutual", {"weight": 0.8}, sizes=SIX[:3], topology="star", rounds=1, training=training)
    start, end = here.protocol.init(here.env).state.parts, here.run().state.parts

    def stepped(weights: Part, client: int, peers: list[Part]) -> Part:
        records, model = here.env.private(client, 1), here.env.workbench.module("tiny")
        x, y = torch.from_numpy(records.x), torch.from_numpy(records.y)
        held = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        own = functional_call(model, held, (x,)).log_softmax(1)
        loss = -own[range(len(y)), y].mean()
        for peer in peers:
            told = functional_call(model, dict(peer), (x,)).log_softmax(1).detach()
            loss = loss + 0.8 / len(peers) * (told.exp() * (told - own)).sum(1).mean()
        moved = torch.autograd.grad(loss, list(held.values()))
        return {name: weights[name] - 0.1 * step for name, step in zip(held, moved, strict=True)}

    sent = [stepped(start[f"client-{k}/model"], k, []) for k in range(3)]
    for client, heard in enumerate(([sent[1], sent[2]], [sent[0]], [sent[0]])):
        expected = stepped(sent[client], client, heard)
        torch.testing.assert_close(flat(end[f"client-{client}/model"]), flat(expected), rtol=1e-4, atol=1e-6)


def test_gossip_mutual_learning_takes_different_models(world: MakeWorld) -> None:
    models = {"client_models": ("tiny", "slim", "mid")}
    done = world("gossip-mutual", sizes=SIX, topology="star", training=models).run()
    assert {len(flat(done.state.parts[f"client-{k}/model"])) for k in range(6)} == {57, 39, 363}


@pytest.mark.parametrize("name", SERVERLESS)
def test_a_neighbour_sees_its_edges_alone(name: str, small_config: Any) -> None:
    wire = resolve(small_config(protocol=name, clients=5, topology="star")).wire
    assert Sight(Adversary("client-0"), wire).heard == (1, 2, 3, 4)
    assert Sight(Adversary("client-3"), wire).heard == (0,)
    assert Sight(Adversary("eavesdropper"), wire).heard == (0, 1, 2, 3, 4)
    behind_a_server = resolve(small_config(protocol="fedavg", clients=5)).wire
    assert Sight(Adversary("client-3"), behind_a_server).heard == (0, 1, 2, 4)


def test_a_file_of_edges_is_kept_by_what_it_says(tmp_path: Path, small_config: Any) -> None:
    file = tmp_path / "edges.txt"
    file.write_text("0 1\n1 2  # the bridge\n")
    config = small_config(protocol="dfedavg", topology=str(file))
    assert config.topology == "0-1 1-2"
    file.write_text("0 1\n")
    with pytest.raises(UsageError, match="client 2 and client 0 never hear of each other"):
        resolve(small_config(protocol="dfedavg", topology=str(file)))


def test_a_topology_is_refused_where_there_is_a_server(small_config: Any) -> None:
    with pytest.raises(UsageError, match="protocol fedavg passes a server, so a topology does nothing; neighbours"):
        resolve(small_config(protocol="fedavg", topology="star"))
    resolve(small_config(protocol="local", topology="star"))
    with pytest.raises(UsageError, match="protocol fedavg passes a server"):
        configuration({"protocol": "fedavg", "topology": "ring"})
    assert (
        configuration({"protocol": "fedavg"}).topology
        == configuration({"protocol": "local", "topology": "ring"}).topology
    )


@pytest.mark.parametrize("protocol", SERVERLESS)
def test_one_client_without_neighbours_is_refused(protocol: str, small_config: Any) -> None:
    with pytest.raises(UsageError, match="needs at least 2 clients"):
        resolve(small_config(protocol=protocol, clients=1))
    resolve(small_config(protocol=protocol, clients=2))
