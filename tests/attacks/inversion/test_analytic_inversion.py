from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.analytic import Single, analytic, different, first_linear
from fedprivacy.attacks.inversion.gradients import frozen_copy
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.config.base import UsageError
from fedprivacy.metrics.images import score_images
from fedprivacy.models.build import build

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE = (1, 8, 8)


def _mlp(seed: int = 0) -> nn.Module:
    return build("mlp", SHAPE, 4, "softmax", seed, "net").double()


@pytest.mark.parametrize("shared", ["gradient", "update"])
def test_one_record_is_exact(images: Tensor, gradient_of: Gradient, state_of: State, shared: str) -> None:
    model, label = _mlp(), torch.tensor([2])
    card = Knowledge(SHAPE, 4, shared=shared, lr=0.1 if shared == "update" else None, mean=(0.4,), std=(0.3,))  # type: ignore[arg-type]
    gradient = gradient_of(model, card.to_input(images[:1]), label)
    message = gradient if shared == "gradient" else {name: -0.1 * value for name, value in gradient.items()}
    found = analytic(model, state_of(model), message, card, label)
    assert found.labels.tolist() == [2]
    assert float((found.images - images[:1]).abs().max()) < 1e-5


def test_single_precision_returns_the_input_to_1e_5(images: Tensor, gradient_of: Gradient, state_of: State) -> None:
    model = _mlp().float()
    gradient = gradient_of(model, images[:1].float(), torch.tensor([1]))
    found = analytic(model, state_of(model), gradient, Knowledge(SHAPE, 4), torch.tensor([1]))
    assert float((found.images - images[:1]).abs().max()) < 1e-5


def test_records_that_alone_excite_a_row_are_found_in_a_batch(gradient_of: Gradient, state_of: State) -> None:
    """Planted: three records on disjoint pixels, and rows that each see one of them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4)).double()
    x = torch.zeros(3, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        model[1].weight.fill_(-1.0)
        model[1].bias.fill_(-0.5)
        for record in range(3):
            x[record, 0, 2 * record : 2 * record + 2] = torch.linspace(0.1, 0.9, 16).double().view(2, 8)
            model[1].weight[2 * record : 2 * record + 2, 16 * record : 16 * record + 16] = 1.0
    labels = torch.tensor([3, 0, 3])
    card = Knowledge(SHAPE, 4, records=3)
    found = analytic(model, state_of(model), gradient_of(model, x, labels), card, labels)
    scores = score_images(found.images.numpy(), x.numpy(), torch.full(SHAPE, 0.5).numpy())
    assert scores.psnr.min() == 100
    assert found.labels.tolist() == [int(labels[int((scores.match == row).argmax())]) for row in range(3)]


def test_null_rows_of_another_batch_do_not_match(images: Tensor, gradient_of: Gradient, state_of: State) -> None:
    model, card = _mlp(), Knowledge(SHAPE, 4)
    found = analytic(model, state_of(model), gradient_of(model, images[:1], torch.tensor([0])), card, torch.tensor([0]))
    scores = score_images(found.images.numpy(), images[1:2].numpy(), images.mean(0).numpy())
    chance = score_images(images.mean(0, keepdim=True).numpy(), images[1:2].numpy(), images.mean(0).numpy())
    assert scores.psnr[0] <= chance.psnr[0] + 1


def test_copies_count_once() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0 + 1e-12], [0.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    assert different(rows, 9).tolist() == [[1.0, 2.0], [0.0, 1.0]]
    assert len(different(rows, 1)) == 1


def test_other_first_layers_are_refused(smooth: nn.Module) -> None:
    card = Knowledge(SHAPE, 4)
    assert first_linear(smooth, card) is None
    assert first_linear(_mlp(), card) == "hidden"
    assert first_linear(_mlp(), Knowledge((1, 4, 4), 4)) is None
    with pytest.raises(UsageError, match="use 'dlg'"):
        analytic(smooth, {}, {}, card, torch.tensor([0]))


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_products_and_sizes_are_those_of_the_gradients_themselves(
    images: Tensor, gradient_of: Gradient, state_of: State, output: Literal["softmax", "sigmoid"]
) -> None:
    classes = 4 if output == "softmax" else 2
    model = build("mlp", SHAPE, classes, output, 0, "net").double()
    card = Knowledge(SHAPE, classes)
    twin = frozen_copy(model, state_of(model), card, torch.zeros(1, dtype=torch.float64))
    single, x = Single(twin, "hidden", images), images[:3]
    direction = gradient_of(model, x, torch.tensor([0, 1, 1]))
    products, squares = single.products(direction), single.squares(classes)
    for place in range(len(images)):
        for label in range(classes):
            own = gradient_of(model, images[place : place + 1], torch.tensor([label]))
            assert float(products[place, label]) == pytest.approx(
                sum(float((own[n] * direction[n]).sum()) for n in own)
            )
            assert float(squares[place, label]) == pytest.approx(sum(float(v.square().sum()) for v in own.values()))
            got = single.gradient(place, label)
            assert all(torch.allclose(got[name], own[name]) for name in own)
