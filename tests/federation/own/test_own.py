"""A function as a protocol: rehearsed, run as a whole, under a defense, and refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation import engine
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.protocol import OwnFederation
from fedprivacy.federation.tested import scored
from fedprivacy.study.inversion.batches import Batches
from fedprivacy.study.job import federate
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Outgoing
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.release import Release

Configure = Callable[..., Any]


class Net(nn.Module):
    """One layer on the 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.layer(x.flatten(1))


def fit(net: Any, x: Any, y: Any) -> Any:
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for rows in torch.randperm(len(x)).split(10):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
        optimizer.step()
    return net


def averaging(game: Any, wire: Any, *, start: bool = True, by_records: bool = False, own: bool = False) -> None:
    shared = game.model()
    if start:
        wire.started(shared)
    for t in range(1, game.rounds + 1):
        got, counts = [], []
        for k in range(game.clients):
            x, y = game.private(k)
            got.append(wire.sent(t, f"client-{k}", "server", weights=fit(copy.deepcopy(shared), x, y)).tensors)
            counts.append(len(x) if by_records else 1)
        shares = torch.tensor(counts, dtype=torch.float32) / sum(counts)
        for k in range(game.clients):
            who = [j for j in range(game.clients) if not (own and j == k)]
            mixed = {n: sum(shares[j] * got[j][n] for j in who) / sum(shares[j] for j in who) for n in got[0]}
            received = wire.sent(t, "server", f"client-{k}", weights=mixed).tensors
        shared.load_state_dict(received)


def gossiping(game: Any, wire: Any) -> dict[str, Any]:
    nets = [game.model(k, own=True) for k in range(game.clients)]
    for t in range(1, game.rounds + 1):
        for k, net in enumerate(nets):
            fit(net, *game.private(k))
            wire.sent(t, f"client-{k}", f"client-{(k + 1) % game.clients}", weights=net)
    return {f"client-{k}": net for k, net in enumerate(nets)}


def sharing(game: Any, wire: Any) -> dict[str, Any]:
    nets = [game.model(k, own=True) for k in range(game.clients)]
    for t in range(1, game.rounds + 1):
        x, _ = game.public(t)
        for k, net in enumerate(nets):
            fit(net, *game.private(k))
            wire.sent(t, f"client-{k}", "server", logits=net(torch.from_numpy(x)))
    return {f"client-{k}": net for k, net in enumerate(nets)}


def relaying(game: Any, wire: Any) -> dict[str, Any]:
    nets = [game.model(k, own=True) for k in range(game.clients)]
    for t in range(1, game.rounds + 1):
        x, _ = game.public(t)
        for k, net in enumerate(nets):
            labels = wire.sent(t, f"client-{k}", "server", labels=fit(net, *game.private(k))(torch.tensor(x)).argmax(1))
            peers = [party for party in wire.everyone if party != f"client-{k}"]
            wire.sent(t, "server", peers, payload=labels.payload, of=f"client-{k}")
    return {f"client-{k}": net for k, net in enumerate(nets)}


def settings(small_config: Configure, **changes: Any) -> Any:
    data = {"candidates": 40, "public_size": 12, "auxiliary": 10}
    return small_config(**{"training": {"model": parts.refer(Net)}, "data": data, **changes})


def declared(function: Any, small_config: Configure, **changes: Any) -> list[Release]:
    config = settings(small_config, **changes)
    return list(OwnFederation(function, "own").releases(FederationSettings.of(config)))


def test_a_rehearsal_finds_what_averaging_sends(small_config: Configure) -> None:
    up, down = declared(averaging, small_config)
    assert (up.kind, up.sender, up.receivers, up.of, up.whole_after) == ("weights", "client", "server", "own", 1)
    assert up.reference == "received" and up.known_start
    assert (down.kind, down.sender, down.receivers, down.of) == ("weights", "server", "clients", "mean")


@pytest.mark.parametrize(
    ("changes", "of"), [({}, "mean"), ({"by_records": True}, "weighted"), ({"own": True}, "mean of others")]
)
def test_what_the_server_makes_of_it_is_told_from_the_numbers(changes: Any, of: str, small_config: Configure) -> None:
    down = declared(lambda game, wire: averaging(game, wire, **changes), small_config)[1]
    assert down.of == of


def test_without_a_common_start_the_first_update_has_no_known_beginning(small_config: Configure) -> None:
    up = declared(lambda game, wire: averaging(game, wire, start=False), small_config)[0]
    assert up.reference == "received" and not up.known_start


def test_neighbours_relays_and_answers(small_config: Configure) -> None:
    (between,) = declared(gossiping, small_config)
    assert between.receivers == "neighbours" and between.reference == ""
    (answer,) = declared(sharing, small_config)
    assert (answer.kind, answer.form) == ("predictions", "logits")
    assert answer.answers_queries and not answer.fixed_fold
    up, passed = declared(relaying, small_config, data={"public_set": "static", "public_size": 12, "candidates": 40})
    assert up.form == "labels" and up.fixed_fold and passed.of == "relay"


def test_training_is_known_only_where_the_loop_goes_by_the_settings(small_config: Configure) -> None:
    def by_settings(game: Any, wire: Any) -> None:
        game.optimizer(game.model().parameters())
        averaging(game, wire)

    assert declared(averaging, small_config)[0].loss == "more"
    told = declared(by_settings, small_config)[0]
    assert told.loss == "labels" and told.steps_known


def run(function: Any, small_config: Configure, where: Path, defense: Outgoing | None = None, **changes: Any) -> Any:
    config = settings(small_config, **changes)
    own = OwnFederation(function, "own")
    env, _ = resolve(config).environment(0)
    log: list[Any] = []
    if defense is None:
        return own, env, engine.run(own, env, where)
    from fedprivacy.wire.transcript import MemoryStore

    state = own.whole(env, MemoryStore(), defense, lambda *row: log.append(row))
    return own, env, state


def test_it_runs_like_a_protocol_and_is_found_again(small_config: Configure, tmp_path: Path) -> None:
    own, env, done = run(averaging, small_config, tmp_path)
    assert [m.round for m in done.transcript.messages] == [1] * 6 + [2] * 6
    assert {(e.client, e.round, e.release) for e in done.events} == {
        (k, t, "weights") for k in range(3) for t in (1, 2)
    }
    assert scored(own.models(done.state, env), env)["global"]["accuracy"] > 0.25
    again = engine.run(own, env, tmp_path)
    assert again.transcript.messages == done.transcript.messages
    fresh = engine.run(own, env, tmp_path / "fresh")
    assert fresh.transcript.messages == done.transcript.messages


def test_the_models_that_it_returns_are_tested(small_config: Configure, tmp_path: Path) -> None:
    own, env, done = run(sharing, small_config, tmp_path)
    assert set(own.models(done.state, env)) == {"client-0", "client-1", "client-2"}


def test_the_start_is_that_of_the_function(small_config: Configure) -> None:
    env, _ = resolve(settings(small_config)).environment(0)
    parts_of = OwnFederation(averaging, "own").init(env).state.parts
    assert set(parts_of) == {"server/model"} and set(parts_of["server/model"]) == {"layer.weight", "layer.bias"}
    assert not OwnFederation(sharing, "own").init(env).state.parts


class Zeroes:
    """Sends zeros in the place of weights."""

    def outgoing(self, payload: Any, sender: str, round: int) -> Any:
        return Weights({name: torch.zeros_like(t) for name, t in payload.tensors.items()})


def test_a_defense_changes_what_arrives_and_so_the_federation(small_config: Configure, tmp_path: Path) -> None:
    own, env, state = run(averaging, small_config, tmp_path, Zeroes())
    (weights,) = [part for part in own.models(state, env).values()]
    assert not any(tensor.any() for tensor in weights[1].values())


def test_a_loop_that_ignores_what_arrived_is_refused_under_a_defense(small_config: Configure, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did not look at what arrived from client-0"):
        run(gossiping, small_config, tmp_path, Zeroes())


def sends(**content: Any) -> Callable[[Any, Any], Any]:
    def federate(game: Any, wire: Any) -> Any:
        wire.sent(content.pop("round", 1), content.pop("sender", "client-0"), content.pop("to", "server"), **content)

    return federate


SLIPS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "nothing sent": (lambda game, wire: None, "nothing crossed the wire"),
    "two contents": (sends(weights={}, logits=[1]), "got weights and logits; one content a message"),
    "an unknown content": (sends(gradient={}), "got gradient; one content a message"),
    "no party": (sends(to="client-9", weights={}), "no party 'client-9' exists"),
    "to itself": (sends(to="client-0", weights={}), "client-0 sends to itself"),
    "round 0": (sends(round=0, weights={}), "round 0 after round 0"),
    "a late round": (sends(round=99, weights={}), "round 99, and this game has 2"),
    "few answers": (sends(logits=torch.zeros(3, 10)), "logits for 3 records, and the public fold of round 1 has 12"),
    "few arrays": (sends(weights=[1, 2, 3]), "3 arrays for a model of 2 tensors"),
    "a mistake": (lambda game, wire: 1 / 0, "it failed: ZeroDivisionError: division by zero (test_own.py, line"),
    "no models": (lambda game, wire: 5, "it returns a int, not models by owner"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_one_line_before_any_training(name: str, small_config: Configure) -> None:
    function, words = SLIPS[name]
    with pytest.raises(UsageError) as caught:
        declared(function, small_config)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_of_another_architecture_is_refused(small_config: Configure, tmp_path: Path) -> None:
    def other(game: Any, wire: Any) -> Any:
        sharing(game, wire)
        return {"client-0": nn.Linear(3, 3)}

    with pytest.raises(UsageError, match="the model that client-0 ends with is no tests"):
        run(other, small_config, tmp_path)


def test_who_takes_part_is_up_to_the_loop(small_config: Configure, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave participation at 1"):
        run(averaging, small_config, tmp_path, participation=0.5)


def stepping(game: Any, wire: Any) -> None:
    """One step of a few records a round, whose rows the game draws."""
    shared = game.model()
    wire.started(shared)
    for t in range(1, game.rounds + 1):
        for k in range(game.clients):
            net, (x, y) = copy.deepcopy(shared), map(torch.from_numpy, game.private(k, t))
            optimizer = game.optimizer(net.parameters())
            for rows in game.batches(k, t):
                optimizer.zero_grad()
                F.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
            wire.sent(t, f"client-{k}", "server", weights=net)
        wire.sent(t, "server", wire.everyone, weights=shared)


def test_rows_that_the_game_draws_are_those_that_the_examiner_knows(small_config: Configure) -> None:
    """So what few steps give away is held against their own records, and their labels may be handed over."""
    training = {"model": parts.refer(Net), "local_steps": 2, "batch_size": 4, "optimizer": "sgd"}
    attack = {"attacks": ("inversion",), "inversion": {"knowledge": "strong"}}
    study = resolve(settings(small_config, protocol=parts.refer(stepping), training=training, attack=attack))
    assert study.named_batches and study.wire.model is not None and study.wire.model.loss == "labels"
    env, played = study.environment(0)
    known = Batches(study.wire, played, 0, study.named_batches)
    for client, number in ((0, 1), (1, 2)):
        members = env.members[client][0]
        drawn = [members[rows].tolist() for rows in Deal(env).batches(client, number)]
        assert drawn == [ids.tolist() for ids in known.used(client, number)] and [len(one) for one in drawn] == [4, 4]
    config = settings(small_config, protocol=parts.refer(averaging), training=training, attack=attack)
    with pytest.raises(UsageError, match=r"take its steps from game\.batches"):
        resolve(config)


def test_what_cannot_be_decoded_jointly_is_said_with_its_reason(small_config: Configure, tmp_path: Path) -> None:
    def notes(function: Any) -> str:
        attack = {"attacks": ("membership",), "observations": ("uploaded-weights",), "adversaries": ("server",)}
        config = settings(small_config, protocol=parts.refer(function), attack=attack)
        place = str(tmp_path / function.__name__)
        return " ".join(federate(lambda _: None, config.model_dump_json(), 0, None, place)["notes"])

    assert "not decoded jointly (joint-updates): how a client trains is known to its own loop alone" in notes(averaging)
    assert "not decoded" not in notes(stepping)
