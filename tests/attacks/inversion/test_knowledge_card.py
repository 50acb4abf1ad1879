from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.config.base import UsageError


def test_presets_forget() -> None:
    strong = Knowledge(
        (3, 4, 4),
        10,
        shared="update",
        records=2,
        epochs=3,
        lr=0.1,
        labels="given",
        given_labels=(1, 2),
        mean=(0.5,),
        std=(0.2,),
        public_images=9,
    )
    assert strong.under("strong") is strong
    fair = strong.under("fair")
    assert (fair.labels, fair.given_labels, fair.order, fair.steps) == ("recovered", None, "unknown", 3)
    blind = strong.under("blind")
    assert (blind.labels, blind.lr, blind.steps, blind.records, blind.mean) == ("joint", None, 1, 1, (0.0,))
    with pytest.raises(UsageError, match="Known: strong, fair, blind"):
        strong.under("kind")  # type: ignore[arg-type]


def test_card_has_a_row_for_each_part() -> None:
    rows = Knowledge((1, 8, 8), 3, shared="update", records=4, batch=2, epochs=5, lr=0.25).rows()
    assert rows["local steps"] == "10 (5 epochs, order known)"
    assert Knowledge((1, 8, 8), 3, shared="update").rows()["local steps"] == "1 (1 epoch, order known)"
    assert rows["shared"] == "update, learning rate 0.25"
    assert {"weights", "records", "labels", "input", "batch normalisation", "priors"} <= rows.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"records": 0},
        {"records": 4, "batch": 3},
        {"epochs": 2},
        {"mean": (0.1, 0.2)},
        {"std": (0.0,)},
        {"labels": "given"},
        {"given_labels": (1,)},
        {"labels": "given", "given_labels": (3,)},
        {"labels": "given", "given_labels": (1, 1)},
    ],
)
def test_impossible_cards_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Knowledge((3, 8, 8), 3, **wrong)  # type: ignore[arg-type]


def test_normalisation_round_trip() -> None:
    card = Knowledge((3, 2, 2), 5, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    pixels = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = card.to_input(pixels)
    torch.testing.assert_close(inputs[:, 1], (pixels[:, 1] - 0.2) / 0.25)
    torch.testing.assert_close(card.to_pixels(inputs), pixels)


def test_one_step_update_is_the_gradient(
    smooth: nn.Module, images: Tensor, gradient_of: Callable[..., dict[str, Tensor]]
) -> None:
    labels = torch.tensor([1, 2])
    gradient = gradient_of(smooth, images[:2], labels)
    before = {name: p.detach().clone() for name, p in smooth.named_parameters()}
    with torch.no_grad():
        for name, parameter in smooth.named_parameters():
            parameter -= 0.3 * gradient[name]
    update = {name: p.detach() - before[name] for name, p in smooth.named_parameters()}
    read = as_gradient(update, Knowledge((1, 8, 8), 4, shared="update", records=2, lr=0.3))
    for name, value in gradient.items():
        torch.testing.assert_close(read[name], value)


def test_many_steps_are_no_gradient() -> None:
    card = Knowledge((1, 8, 8), 4, shared="update", records=2, epochs=3, lr=0.3)
    with pytest.raises(UsageError, match="3 local steps is no gradient; use the attack 'local-steps'"):
        as_gradient({}, card)
