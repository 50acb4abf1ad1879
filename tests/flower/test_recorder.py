"""An unchanged Flower app is recorded as it is, and its recording is attacked like any other."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="flwr has an environment of its own: make flower")
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg
from torch import nn
from torch.nn import functional as F

import fedprivacy
from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.face.record import record
from fedprivacy.federation.own.deal import Deal
from fedprivacy.flower import partition, recorded
from fedprivacy.flower.traffic import tensors_of
from fedprivacy.recording.game import read_game
from fedprivacy.recording.transcript import read_start, read_transcript
from fedprivacy.wire.payload import Scalars, Weights
from fedprivacy.wire.transcript import Transcript

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flower_app"
NODES = [907, 31, 55]


class Net(nn.Module):
    """One hidden layer with batch normalisation: its counter is an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 10)

    def forward(self, x: Any) -> Any:
        return self.out(torch.relu(self.norm(self.hidden(x.flatten(1)))))


def trained(state: Any, x: Any, y: Any) -> dict[str, Any]:
    net = Net()
    net.load_state_dict(state)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    for rows in torch.arange(len(x)).split(8):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
        optimizer.step()
    return dict(net.state_dict())


def app_of(game: Deal, in_order: bool = False, **mods: Any) -> ClientApp:
    app = ClientApp(**mods)

    @app.train()
    def fit(message: Message, context: Any) -> Message:
        arrays = message.content["arrays"]
        names = list(Net().state_dict())
        held = {name: torch.from_numpy(array.numpy()) for name, array in zip(names, arrays.values(), strict=True)}
        x, y = partition(game, message)
        state = trained(held, x, y)
        back = ArrayRecord([t.numpy() for t in state.values()]) if in_order else ArrayRecord(state)
        content = {"arrays": back, "metrics": MetricRecord({"num-examples": len(x), "loss": 0.5})}
        return Message(RecordDict(content), reply_to=message)

    return app


def dealt(**settings: Any) -> Deal:
    return fedprivacy.deal(
        "digits", **{"clients": 3, "candidates": 40, "rounds": 2, "auxiliary": 20, "public_size": 0, **settings}
    )


def start(seed: int = 0) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return dict(Net().state_dict())


def strategy(**settings: Any) -> FedAvg:
    return FedAvg(**{"fraction_evaluate": 0.0, "min_train_nodes": 3, "min_available_nodes": 3, **settings})


def transcript(where: Path) -> tuple[Transcript, bool]:
    game = read_game(where)
    return read_transcript(where, game.clients, len(game.dataset.y_train))


@pytest.fixture
def ran(here: Any, tmp_path: Path) -> Callable[..., tuple[Path, Deal]]:
    """Runs a recorded federation of three nodes."""

    def run(game: Deal | None = None, app: ClientApp | None = None, flow: Any = None, **settings: Any) -> Any:
        game = dealt() if game is None else game
        where = tmp_path / "rec"
        made = recorded(strategy() if flow is None else flow, where, game, **{"model": Net, **settings})
        grid = here(app_of(game) if app is None else app, NODES)
        made.start(grid=grid, initial_arrays=ArrayRecord(start()), num_rounds=2)
        return where, game

    return run


def test_both_directions_are_recorded_round_by_round(ran: Any) -> None:
    where, game = ran()
    told, finished = transcript(where)
    weights = [(m.round, m.sender, m.receiver) for m in told.messages if m.kind == Weights.kind]
    up = [("client-0", "server"), ("client-1", "server"), ("client-2", "server")]
    down = [("server", "client-0"), ("server", "client-1"), ("server", "client-2")]
    assert finished and weights == [(1, *m) for m in up + down] + [(2, *m) for m in up]
    numbers = [told.payload(m) for m in told.messages if m.kind == Scalars.kind]
    counts = [int(one.tensors["num-examples"]) for one in numbers if isinstance(one, Scalars)]
    assert counts == 2 * [len(game.private(k)[0]) for k in range(3)]
    began = read_start(where)
    assert began is not None and all(np.array_equal(began[name], t.numpy()) for name, t in start().items())


def test_nodes_are_clients_by_their_number_and_train_on_their_own_records(ran: Any) -> None:
    where, game = ran()
    told, _ = transcript(where)
    first = [m for m in told.messages if m.round == 1 and m.kind == Weights.kind and m.receiver == "server"]
    for client, message in enumerate(first):
        payload = told.payload(message)
        assert isinstance(payload, Weights)
        expected = trained(start(), *game.private(client))
        assert all(torch.equal(payload.tensors[name], tensor) for name, tensor in expected.items())
    said = folder.read_json(where / "carrier.json")
    assert said["nodes"] == {"client-0": "31", "client-1": "55", "client-2": "907"}


def test_scores_are_those_of_the_same_federation_recorded_by_hand(ran: Any, tmp_path: Path) -> None:
    where, game = ran()
    with record(tmp_path / "own", game, model=Net) as wire:
        shared = wire.started(start())
        for t in (1, 2):
            sizes = [len(game.private(k)[0]) for k in range(3)]
            sent = [trained(shared, *game.private(k)) for k in range(3)]
            sent = [wire.sent(t, f"client-{k}", "server", weights=one).tensors for k, one in enumerate(sent)]
            mean = {
                n: sum(s * one[n].double() for s, one in zip(sizes, sent, strict=True)) / sum(sizes) for n in sent[0]
            }
            shared = {name: tensor.to(start()[name].dtype) for name, tensor in mean.items()}
            wire.sent(t, "server", wire.everyone, weights=shared)
    a, b = (fedprivacy.attack(place, model=Net, out=tmp_path / place.name) for place in (where, tmp_path / "own"))
    left, right = (
        {(r["observation"], r["adversary"], r["statistic"]): r["value"] for r in one.table() if r["metric"] == "AUC"}
        for one in (a, b)
    )
    common = [key for key in left if "server" in key[1]]
    assert len(common) > 4
    for key in common:
        assert left[key] == pytest.approx(right[key], abs=0.02), key


def test_shadow_federations_are_references(here: Any, tmp_path: Path) -> None:
    game = dealt()
    for one in (game, *map(game.shadow, range(4))):
        made = recorded(strategy(), tmp_path / "rec", one, model=Net)
        made.start(grid=here(app_of(game), NODES), initial_arrays=ArrayRecord(start()), num_rounds=2)
    told, _ = read_transcript(tmp_path / "rec" / "shadows" / "0003", 3, len(game.env.dataset.y_train))
    first = told.payload(told.messages[0])
    assert isinstance(first, Weights)
    expected = trained(start(), *game.shadow(3).private(0))
    assert torch.equal(first.tensors["out.bias"], expected["out.bias"])
    result = fedprivacy.attack(tmp_path / "rec", model=Net, out=tmp_path)
    assert "lira-online" in {row["statistic"] for row in result.table()}


def test_every_type_of_array_is_recorded_as_it_was_sent() -> None:
    kinds = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"]
    sent = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds} | {"none": np.zeros((0, 3), "float32")}
    found = tensors_of(ArrayRecord({name: Array(array) for name, array in sent.items()}))
    for name, array in sent.items():
        assert found[name].numpy().dtype == array.dtype and np.array_equal(found[name].numpy(), array)


def test_numbered_arrays_get_the_names_of_the_model(ran: Any) -> None:
    game = dealt()
    where, _ = ran(game, app_of(game, in_order=True))
    told, _ = transcript(where)
    payload = told.payload(told.messages[0])
    assert isinstance(payload, Weights) and set(payload.tensors) == set(Net().state_dict())


class Dies(FedAvg):  # type: ignore[misc]
    """A server that is gone while the third round is under way."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        if server_round == 3:
            raise KeyboardInterrupt
        return super().aggregate_train(server_round, replies)


def test_a_server_that_dies_in_a_round_leaves_the_whole_rounds(here: Any, tmp_path: Path) -> None:
    game = dealt(rounds=4)
    flow = Dies(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    made = recorded(flow, tmp_path / "rec", game, model=Net)
    with pytest.raises(KeyboardInterrupt):
        made.start(grid=here(app_of(game), NODES), initial_arrays=ArrayRecord(start()), num_rounds=4)
    told, finished = transcript(tmp_path / "rec")
    assert not finished and list(told.rounds()) == [1, 2]
    result = fedprivacy.attack(tmp_path / "rec", model=Net, out=tmp_path)
    assert result.table()


def test_a_loop_of_ones_own_over_a_grid_is_recorded(here: Any, tmp_path: Path) -> None:
    game, held = dealt(), ArrayRecord(start())
    with recorded(here(app_of(game), NODES), tmp_path / "rec", game, model=Net) as grid:
        for _ in range(2):
            nodes = grid.get_node_ids()
            going = [Message(RecordDict({"arrays": held}), dst_node_id=node, message_type="train") for node in nodes]
            replies = grid.pull_messages(grid.push_messages(going))
            held = replies[0].content["arrays"]
    told, finished = transcript(tmp_path / "rec")
    assert finished and [m.sender for m in told.messages if m.kind == Weights.kind].count("server") == 3


def test_more_nodes_than_clients_are_one_line(here: Any, tmp_path: Path) -> None:
    game = dealt(clients=2)
    made = recorded(strategy(), tmp_path / "rec", game, model=Net)
    with pytest.raises(UsageError, match="one more than the 2 clients"):
        made.start(grid=here(app_of(game), NODES), initial_arrays=ArrayRecord(start()), num_rounds=2)


def test_what_is_neither_strategy_nor_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a strategy or a grid"):
        recorded(Net(), tmp_path / "rec", dealt())


def test_a_message_that_no_recorder_marked_is_refused() -> None:
    with pytest.raises(UsageError, match="says no client"):
        partition(dealt(), Message(RecordDict(), dst_node_id=1, message_type="train", group_id=""))


def test_a_clipped_counter_is_told(ran: Any, here: Any) -> None:
    from flwr.clientapp.mod import fixedclipping_mod

    game = dealt()
    flow = DifferentialPrivacyClientSideFixedClipping(strategy(), 0.01, 10.0, 3)
    app = app_of(game, mods=[fixedclipping_mod])
    where, _ = ran(game, app, flow)
    (line,) = folder.read_json(where / "carrier.json")["warnings"]
    assert "norm.num_batches_tracked" in line
    assert line in read_game(where).dataset.notes


def test_flower_moves_little_more_than_is_recorded(ran: Any) -> None:
    where, _ = ran()
    said = folder.read_json(where / "carrier.json")
    told, _ = transcript(where)
    values = sum(m.payload_bytes for m in told.messages if m.receiver == "server")
    assert values < said["up"] < 4 * values
    kept = (where / "transcript" / "contents.bin").stat().st_size
    assert kept < 1.1 * (said["up"] + said["down"])


def test_the_example_is_recorded_and_attacked(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for name in [name for name in sys.modules if name.startswith("digits_app")]:
        monkeypatch.delitem(sys.modules, name)
    client, server = (importlib.import_module(f"digits_app.{part}_app") for part in ("client", "server"))
    context = copy.copy(next(iter(here(client.app, [1]).contexts.values())))
    context.run_config = {"num-server-rounds": 2}
    server.main(here(client.app, [4, 2, 8, 6, 9]), context)
    task = importlib.import_module("digits_app.task")
    result = fedprivacy.attack(tmp_path / "recording", model=task.Net, attack="all", out=tmp_path)
    assert {row["attack"] for row in result.table()} == {"membership", "labels", "inversion"}
    added = [line for path in EXAMPLE.rglob("*.py") for line in path.read_text().splitlines() if "# added" in line]
    changed = [line for path in EXAMPLE.rglob("*.py") for line in path.read_text().splitlines() if "# changed" in line]
    assert len(added) + len(changed) <= 6 and len(added) <= 5
