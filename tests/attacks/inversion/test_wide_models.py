"""Photographs make first layers of millions of weights: what is held beside a message is a few of its size, no more."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fedprivacy.attacks.inversion import unroll
from fedprivacy.attacks.inversion.common_loss import common_loss, simulation
from fedprivacy.attacks.inversion.gradients import FunctionalMap, Layout, frozen_copy, gradient_map, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.unroll import UpdateMap
from fedprivacy.models.build import build

LIKE = torch.zeros(1, dtype=torch.float64)
SHAPE, MESSAGES, RECORDS = (3, 12, 12), 3, 8
ONE_STEP = Knowledge(SHAPE, 2, records=RECORDS)
CARDS = [ONE_STEP, replace(ONE_STEP, shared="update", lr=0.1), replace(ONE_STEP, shared="update", epochs=4, lr=0.1)]


class _Largest(TorchDispatchMode):
    """Bytes of the largest tensor that any operation makes."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor):
                self.size = max(self.size, one.untyped_storage().nbytes())
        return made


def _case() -> tuple[nn.Module, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    x = torch.rand(MESSAGES, RECORDS, *SHAPE, generator=draw, dtype=torch.float64)
    return build("mlp", SHAPE, 2, "softmax", 0, "wide").double(), x, one_hot(torch.arange(RECORDS) % 2, 2, x.dtype)


@pytest.mark.parametrize("card", CARDS, ids=["gradient", "update", "four steps"])
def test_the_common_loss_holds_no_matrix_a_record_nor_one_for_all_messages(card: Knowledge) -> None:
    model, x, targets = _case()
    targets = targets.expand(MESSAGES, -1, -1)
    state, layout = dict(model.state_dict()), Layout.of(model)
    flat = simulation(model, state, card, LIKE).gradients(x, targets) * (-0.1 if card.shared == "update" else 1)
    parts = [row.clone().split([math.prod(shape) for _, shape in layout.shapes]) for row in flat]
    messages = [
        {name: part.view(shape) for (name, shape), part in zip(layout.shapes, row, strict=True)} for row in parts
    ]
    with _Largest() as largest:
        loss = common_loss(model, state, messages, card, x, targets)
    assert loss.shape == (MESSAGES,) and float(loss.max()) < 1e-9
    assert largest.size <= flat[0].nbytes
    beside = common_loss(model, state, messages, card, x.roll(1, 0), targets)
    assert float(beside.min()) > 0.01


@pytest.mark.parametrize("kind", ["chain", "functional", "steps"])
def test_values_are_the_gradients_and_keep_no_way_back(kind: str) -> None:
    model, x, targets = _case()
    targets, twin = targets.expand(MESSAGES, -1, -1), frozen_copy(model, {}, ONE_STEP, LIKE)
    made: Any = {
        "chain": lambda: gradient_map(model, {}, ONE_STEP, LIKE),
        "functional": lambda: FunctionalMap(twin),
        "steps": lambda: UpdateMap(twin, CARDS[2]),
    }[kind]()
    values = made.values(x, targets)
    assert not values.requires_grad
    torch.testing.assert_close(values, made.gradients(x, targets))


def test_steps_of_sgd_on_a_wide_model_are_simulated_for_few_problems_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = _case()
    twin = frozen_copy(model, {}, CARDS[2], LIKE)
    assert UpdateMap(twin, CARDS[2]).at_once == unroll.RECORDS_AT_ONCE
    monkeypatch.setattr(unroll, "ROOM", sum(value.nbytes for value in twin.parameters()))
    assert UpdateMap(twin, CARDS[2]).at_once == RECORDS
