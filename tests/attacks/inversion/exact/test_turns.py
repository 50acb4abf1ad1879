"""Steps on one record each: their records come out in the order of the steps, which nobody told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion.best import best_of
from fedprivacy.attacks.inversion.exact import turns
from fedprivacy.attacks.inversion.exact.slopes import slopes_by
from fedprivacy.attacks.inversion.exact.spear import spear
from fedprivacy.attacks.inversion.gradients import frozen_copy, one_hot
from tests.attacks.inversion.exact.dense import CARD, CLASSES, after_steps, draw_of, farthest, mlp, records, state


def test_records_in_an_order_that_nobody_told_are_read_before_any_fit_of_it() -> None:
    """Steps on one record each, shuffled anew in each pass: no simulation knows which step met which record."""
    model = mlp()
    x, labels = records(3)
    before, update = after_steps(model, x, labels, (2, 0, 1, 1, 2, 0), 0.3)
    card = replace(CARD, shared="update", records=3, batch=1, epochs=2, order="unknown", lr=0.3)
    own = best_of(model, before, [update], card, draw_of(), labels=labels[None])
    assert own.chosen == ("spear",) and farthest(own.images[0], x) < 1e-6 and float(own.loss) > 1e-3
    assert [row.why_not for row in own.rows[1:]] == ["an earlier attack explains every message"]


def test_records_of_one_pass_are_put_in_the_order_of_their_steps() -> None:
    """Steps so large that the ReLUs of later records are others than under the weights that were sent."""
    model = mlp()
    x, labels = records(4)
    places = (2, 0, 3, 1)
    before, update = after_steps(model, x, labels, places, 2.0)
    card = replace(CARD, shared="update", records=4, batch=1, lr=2.0)
    found = spear(model, before, update, card, draw_of())
    assert found is not None and found.match == 1.0 and found.labels.tolist() == labels[list(places)].tolist()
    torch.testing.assert_close(found.images, x[list(places)])
    sent = F.linear(CARD.to_input(x).flatten(1), before["1.weight"], before["1.bias"]) > 0
    moved = {name: before[name] + update[name] for name in before}
    after = F.linear(CARD.to_input(x).flatten(1), moved["1.weight"], moved["1.bias"]) > 0
    assert float((sent == after).double().mean()) < 0.9
    own = best_of(model, before, [update], card, draw_of(), labels=labels[None])
    assert own.chosen == ("spear",) and float(own.loss) < 1e-6


def test_no_step_is_taken_on_what_no_step_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong basis is told from the weights that were sent, before any step."""
    model = mlp()
    x, labels = records(4)
    card = replace(CARD, shared="update", records=4, batch=1, lr=2.0)
    twin = frozen_copy(model, state(model), card, torch.zeros(1, dtype=torch.float64))
    slopes = slopes_by(twin, "1", CARD.to_input(x), one_hot(labels, CLASSES, torch.float64))
    steps = list[int]()
    monkeypatch.setattr(turns, "cross_entropy", lambda *given: steps.append(1) or F.cross_entropy(*given))
    wrong = turns.in_turn(twin, "1", card, CARD.to_input(x), slopes, slopes.roll(1, 0) == 0)
    assert wrong.match == 0 and not steps and sorted(wrong.order.tolist()) == [0, 1, 2, 3] and len(wrong.labels) == 4
    right = turns.in_turn(twin, "1", card, CARD.to_input(x[:1]), slopes[:1], slopes[:1] == 0)
    assert right.match == 1 and len(steps) == 1 and right.labels.tolist() == labels[:1].tolist()


@pytest.mark.parametrize("lr", [0.01, 0.05])
@pytest.mark.parametrize("places", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_steps_that_turn_no_relu_are_put_in_order_by_their_derivatives(lr: float, places: tuple[int, ...]) -> None:
    with seeds.torch_scope(0, "test", "deep"):
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, CLASSES)
        ).double()
    x, labels = records(4)
    before, update = after_steps(model, x, labels, places, lr)
    card = replace(CARD, shared="update", records=4, batch=1, lr=lr)
    found = spear(model, before, update, card, draw_of())
    assert found is not None
    torch.testing.assert_close(found.images, x[list(places)])
