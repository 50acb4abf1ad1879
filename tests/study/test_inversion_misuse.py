"""What inversion cannot do is told at once, and what nobody told it is not made up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.study.inversion.batches import UNTOLD, Batches
from fedprivacy.study.inversion.findings import PSNR
from fedprivacy.study.resolve import resolve
from tests.study.inversion_runs import CHEAP, ONE_STEP, Configure, one, ran


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "local"}, "sends nothing"),
        ({"protocol": "fedproto"}, "use --attack labels or membership"),
        ({"protocol": "mutual", "attack": {"adversaries": ("active-server",)}}, "malicious model"),
        ({"protocol": "fedasync", "attack": {"adversaries": ("client-0",)}}, "no mean of one round"),
        ({"protocol": "fedavg", "attack": {"adversaries": ("client-7",)}}, "there are 3 clients, 0 to 2"),
        ({"protocol": "fedavg", "data": {"auxiliary": 0}}, "--auxiliary"),
        ({"protocol": "fedavg", "attack": {"inversion": {"methods": ("magic",)}}}, "no inversion attack 'magic'"),
        ({"protocol": "fedavg", "attack": {"inversion": {"first_round": 9}}}, "--first-round: there is no round 9"),
    ],
)
def test_misuse_is_one_line_before_any_training(changes: dict[str, Any], words: str, small_config: Configure) -> None:
    attack = {**CHEAP, **changes.get("attack", {})}
    with pytest.raises(UsageError, match=words):
        resolve(small_config(**{**changes, "attack": attack}))


def one_step(game: Any, wire: Any) -> None:
    """A loop of one's own that follows the settings: one step on records that it draws itself."""
    shared = game.model()
    wire.started(shared)
    for number in range(1, game.rounds + 1):
        for client in range(game.clients):
            net, (x, y) = copy.deepcopy(shared), game.private(client)
            rows = torch.randperm(len(x))[: game.training.batch_size]
            F.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
            game.optimizer(net.parameters()).step()
            wire.sent(number, f"client-{client}", "server", weights=net.state_dict())
        wire.sent(number, "server", [f"client-{client}" for client in range(game.clients)], weights=shared.state_dict())


def test_the_records_that_a_loop_of_ones_own_drew_are_not_made_up(small_config: Configure, tmp_path: Path) -> None:
    name = parts.refer(one_step)
    config = small_config(protocol=name, training=ONE_STEP, attack=CHEAP)
    study = resolve(config)
    game = study.game(0)
    for named, told in ((True, True), (study.named_batches, False)):
        assert Batches(study.wire, game, 0, named).told is told
    (whole,) = Batches(study.wire, game, 0, named=False).used(1, 1)
    np.testing.assert_array_equal(whole, game.members()[1][0])
    found = ran(config, tmp_path)
    assert UNTOLD in one(found, PSNR).note
    stated = {**CHEAP, "inversion": {"knowledge": "strong"}}
    with pytest.raises(UsageError, match="their labels cannot be handed over"):
        resolve(small_config(protocol=name, training=ONE_STEP, attack=stated))
