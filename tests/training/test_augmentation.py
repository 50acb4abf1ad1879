"""Augmentation draws what it says and nothing else; early stopping is training for the best number of passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import RunConfig, TrainingConfig
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.joint import fit_together
from fedprivacy.training.learner import Learner, Records, Workbench
from fedprivacy.training.stopping import Stopping

SIDE = 8


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 2, SIDE, SIDE + 8, generator=seeds.generator(seed, "images")) + 0.1


def moves(image: Tensor) -> dict[tuple[int, int, int], Tensor]:
    """Every image that may come of one, by (flipped, down, right), entry by entry."""
    found = {}
    for flipped in (0, 1):
        start = image.flip(-1) if flipped else image
        for down in (-1, 0, 1):
            for right in (-2, -1, 0, 1, 2):
                moved = torch.zeros_like(image)
                for i in range(SIDE):
                    for j in range(SIDE + 8):
                        if 0 <= i + down < SIDE and 0 <= j + right < SIDE + 8:
                            moved[:, i, j] = start[:, i + down, j + right]
                found[flipped, down, right] = moved
    return found


def test_each_image_is_moved_by_its_own_and_every_move_is_as_likely() -> None:
    x = images(1).expand(3000, -1, -1, -1)
    found = augmented(x, ("shift", "flip"), seeds.generator(1, "draw"))
    known = moves(x[0])
    counts = {key: int((found == one).flatten(1).all(1).sum()) for key, one in known.items()}
    assert sum(counts.values()) == 3000
    assert all(abs(number - 100) < 50 for number in counts.values()), counts


def test_the_same_draw_gives_the_same_and_no_kind_leaves_all_as_it_is() -> None:
    x = images(5)
    one, other = (augmented(x, ("shift",), seeds.generator(2, "draw")) for _ in range(2))
    assert torch.equal(one, other) and not torch.equal(one, x)
    assert augmented(x, (), seeds.generator(2, "draw")) is x
    assert torch.equal(augmented(x, ("flip",), seeds.generator(2, "draw")).sort(-1).values, x.sort(-1).values)
    with pytest.raises(ValueError, match="is for images"):
        augmented(x.flatten(1), ("flip",), seeds.generator(2, "draw"))


class Seen(nn.Module):
    """Linear, and remembers what it was given in training."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(SIDE * SIDE, 2)
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.given.append(x.detach().clone())
        out: Tensor = self.head(x.flatten(1))
        return out


def learner(**settings: Any) -> Learner:
    def made(name: str, seed: Any) -> nn.Module:
        with seeds.torch_scope(0, "seen"):
            return Seen()

    bench = Workbench(made, TrainingConfig.model_validate({"batch_size": 8, **settings}))
    return bench.learner("seen", bench.initial("seen", (0, ("a",))))


def records(number: int = 16, seed: int = 0) -> Records:
    draw = np.random.default_rng(seed)
    return Records(draw.integers(0, 256, (number, 1, SIDE, SIDE)).astype(np.uint8), draw.integers(0, 2, number))


def test_private_fits_alone_are_augmented_anew_in_every_pass() -> None:
    plain, moved = (learner(augmentation=kinds) for kinds in ((), ("shift",)))
    for one in (plain, moved):
        one.fit(records(), 2, (0, ("fit",)), augment=True, shuffle=False)
    before, after = plain.module.given, moved.module.given
    assert not torch.equal(after[0], before[0]) and not torch.equal(after[0], after[2])
    again = learner(augmentation=("shift",))
    again.fit(records(), 2, (0, ("fit",)), shuffle=False)
    assert all(torch.equal(a, b) for a, b in zip(again.module.given, before, strict=True))


def test_private_training_and_models_together_are_augmented_too() -> None:
    def step(x: Tensor, y: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        logits = held.module(x)
        return nn.functional.cross_entropy(logits, y), logits

    for kinds in ((), ("shift",)):
        held = learner(augmentation=kinds)
        fit_together([held], records(), 1, (0, ("fit",)), step)
        given = torch.cat(held.module.given).flatten(1)
        known = torch.from_numpy(records().x).float().div(255).flatten(1)
        same = sum(int((given == one).all(1).any()) for one in known)
        assert same == 16 if not kinds else same < 10
        private = learner(augmentation=kinds, batch_size=16)
        DpSgd(0.0, 1e6, 16, sampling="partition", engine="func")(private, records(), 1, (0, ("fit",)))
        found = private.weights()["head.weight"]
        expected = learner(batch_size=16)
        expected.fit(records(), 1, (0, ("fit",)))
        assert torch.allclose(found, expected.weights()["head.weight"], atol=1e-5) == (not kinds)


def test_early_stopping_is_training_for_the_best_number_of_passes() -> None:
    held_out, most, patience = records(40, 7), 30, 3
    losses, weights = [], []
    for passes in range(1, most + 1):
        one = learner(lr=0.02)
        one.fit(records(), passes, (0, ("fit",)))
        logits = one.logits(held_out.x)
        losses.append(float(nn.functional.cross_entropy(logits, torch.from_numpy(held_out.y))))
        weights.append((one.weights(), one.moments()))
    best, waited = 0, 0
    for number, loss in enumerate(losses[1:], 1):
        waited = 0 if loss < losses[best] else waited + 1
        best = number if waited == 0 else best
        if waited == patience:
            break
    assert 0 < number < most - 1
    held = learner(lr=0.02)
    report = held.fit(records(), most, (0, ("fit",)), stopping=Stopping(held_out, patience))
    assert len(report) == number + 1
    for found, expected in zip((held.weights(), held.moments()), weights[best], strict=True):
        assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"training": {"augmentation": ("turn",)}}, "is of flip and shift"),
        ({"training": {"early_stopping": 2}}, "validation must be above 0"),
        ({"training": {"early_stopping": 2, "local_steps": 3}, "data": {"validation": 0.2}}, "without local_steps"),
        ({"training": {"early_stopping": 2}, "data": {"validation": 0.2}, "defense": {"name": "dp-sgd"}}, "dp-sgd"),
    ],
)
def test_what_cannot_be_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(RunConfig, settings, "test")


def test_two_models_trained_together_cannot_stop_early() -> None:
    held = learner(early_stopping=1)
    with pytest.raises(UsageError, match="cannot stop both"):
        fit_together([held], records(), 1, (0, ("fit",)), lambda x, y, r: (x.sum(), x))
