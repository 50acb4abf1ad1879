"""Where traps can be laid, by what a module does; and when a layer travels, from a transcript alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy import seeds
from fedprivacy.attacks.membership.traps.layer import NO_ROOM, falls, layer_inputs, trap_layer
from fedprivacy.attacks.membership.traps.rounds import TOO_SHORT, Episode, travels
from fedprivacy.models.build import build
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.transcript import MemoryStore, Transcript

IMAGES = np.random.default_rng(0).integers(0, 256, size=(64, 1, 20, 20), dtype=np.uint8)


def made(name: str) -> nn.Module:
    return build(name, (1, 20, 20), 10, "softmax", 0, "test")


@pytest.mark.parametrize(
    ("model", "layer", "rows", "dropout"),
    [("mlp", "hidden", 256, 0.0), ("mlp-small", "hidden", 64, 0.0), ("cnn", "dense", 128, 0.0)],
)
def test_the_first_dense_layer_in_front_of_a_relu(model: str, layer: str, rows: int, dropout: float) -> None:
    found = trap_layer(made(model), IMAGES)
    assert (found.name, found.rows, found.dropout, found.before_head) == (layer, rows, dropout, True)


def test_dropout_of_its_inputs_is_measured() -> None:
    found = trap_layer(made("gupta-cnn"), IMAGES)
    assert (found.name, found.rows) == ("dense", 64) and found.dropout == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("model", ["lenet-sigmoid", "resnet18"])
def test_an_architecture_that_leaves_no_room_is_told_so(model: str) -> None:
    with pytest.raises(ValueError, match=NO_ROOM[:40]):
        trap_layer(made(model), IMAGES)


class Deep(nn.Module):
    """Dense, tanh, dense, ReLU, dense, ReLU, dense: names and a head that say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three, self.four = (nn.Linear(a, b) for a, b in ((400, 8), (8, 9), (9, 7), (7, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = torch.relu(self.two(torch.tanh(self.one(x.flatten(1)))))
        answer: torch.Tensor = self.four(torch.relu(self.three(middle)))
        return answer


def test_a_foreign_module_is_judged_by_what_it_does() -> None:
    with seeds.torch_scope(1, "test"):
        module = Deep()
    found = trap_layer(module, IMAGES)
    assert (found.name, found.before_head) == ("two", False)
    x = torch.from_numpy(IMAGES).float() / 255
    expected = torch.tanh(module.one(x.flatten(1)))
    torch.testing.assert_close(layer_inputs(module, found, IMAGES), expected.detach())


def test_the_way_a_row_goes_is_that_of_a_small_step() -> None:
    module = made("mlp")
    layer = trap_layer(module, IMAGES)
    x, labels = IMAGES[:12], np.arange(12) % 10
    rows = list(range(12))
    way = falls(module, layer, x, labels, rows)
    hidden = module.get_submodule("hidden")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for place, row in enumerate(rows):
        module.load_state_dict(before)
        module.zero_grad()
        inputs = torch.from_numpy(x[place : place + 1]).float() / 255
        loss = nn.functional.cross_entropy(module(inputs), torch.tensor([int(labels[place])]))
        loss.backward()
        moved = -(hidden.weight.grad[row] @ inputs.flatten() + hidden.bias.grad[row])  # type: ignore[operator,union-attr,index]
        assert float(torch.sign(moved)) == float(way[place])


def told(*messages: tuple[int, str, str, str]) -> Transcript:
    """(round, sender, receiver, tensor) as a transcript."""
    store, log = MemoryStore(), []
    for round, sender, receiver, name in messages:
        channel = Channel(round, store)
        channel.send(sender, receiver, Weights({name: torch.zeros(1)}))
        log += channel.messages
    return Transcript(tuple(log), (), store)


def up(round: int, client: int, name: str = "layer") -> tuple[int, str, str, str]:
    return round, f"client-{client}", SERVER, name


def down(round: int, client: int, name: str = "layer") -> tuple[int, str, str, str]:
    return round, SERVER, f"client-{client}", name


def test_the_last_message_before_the_last_answer_is_forged() -> None:
    rounds = [one for t in (1, 2, 3) for one in (up(t, 0), up(t, 1), down(t, 0), down(t, 1))]
    found = travels(told(*rounds), lambda client: ("layer",))
    assert found.last_episode() == Episode(2, 2, 3)
    assert found.episode_of(2) == Episode(1, 1, 2)
    with pytest.raises(ValueError, match=TOO_SHORT[:30]):
        travels(told(*rounds[:4]), lambda client: ("layer",)).last_episode()


def test_a_client_that_is_seldom_there_is_asked_when_it_was() -> None:
    log = told(up(1, 0), down(1, 0), down(1, 1), up(2, 1), down(2, 0), down(2, 1), up(3, 0), down(3, 0), down(3, 1))
    assert travels(log, lambda client: ("layer",)).last_episode() == Episode(1, 1, 3)


def test_who_pulls_and_pushes_within_a_round_is_asked_in_it_where_single_answers_are_seen() -> None:
    log = told(up(1, 0), down(1, 0), up(2, 0), down(2, 0), up(2, 1), down(2, 1), up(2, 1), up(3, 0), down(3, 0))
    assert travels(log, lambda client: ("layer",)).last_episode() == Episode(2, 2, 3)
    alone = told(down(2, 1), up(2, 1))
    assert travels(alone, lambda client: ("layer",)).last_episode() == Episode(2, 2, 2)
    with pytest.raises(ValueError, match=TOO_SHORT[:30]):
        travels(alone, lambda client: ("layer",), apart=True).last_episode()


def test_layers_that_travel_in_turn_are_forged_when_each_does() -> None:
    groups = {1: "layer", 2: "layer", 3: "head", 4: "layer", 5: "layer"}
    log = told(*(one for t, name in groups.items() for one in (up(t, 0, name), down(t, 0, name))))
    episode = travels(log, lambda client: ("layer",)).last_episode()
    assert episode == Episode(4, 4, 5)
    assert travels(log, lambda client: ("head",)).beginning(episode) == Episode(3, 4, 5)
