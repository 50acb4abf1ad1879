from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.surrogate_inversion import ClassInversionSettings, class_images

SHAPE, CARD = (1, 6, 6), Knowledge((1, 6, 6), 3)
SETTINGS = ClassInversionSettings(iterations=150, restarts=3, tv=0.0, power=0.0)


class _Template(nn.Module):
    """Logit c is minus the squared distance to a template: planted, so the answer is known."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.templates = nn.Parameter(torch.rand(3, 36, generator=generator, dtype=torch.float64).round())

    def forward(self, x: Tensor) -> Tensor:
        return -(x.flatten(1)[:, None] - self.templates).square().sum(2)


def test_each_class_moves_towards_its_template() -> None:
    model = _Template()
    found = class_images(model, CARD, [0, 1, 2], torch.Generator().manual_seed(1), SETTINGS)
    distance = torch.cdist(found.images.flatten(1), model.templates.detach())
    assert distance.argmin(1).tolist() == [0, 1, 2] and found.objective.max() < 1e-3
    assert not found.failed.any() and float(found.images.min()) >= 0 and float(found.images.max()) <= 1


def test_null_untrained_constant_model_shows_nothing() -> None:
    """A model that ignores its input gives every class the same starting noise: nothing to tell classes apart."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).double()
    with torch.no_grad():
        model[1].weight.zero_()
    found = class_images(model, CARD, [0, 1, 2], torch.Generator().manual_seed(1), SETTINGS)
    assert torch.equal(found.images[0], found.images[1]) and torch.equal(found.images[0], found.images[2])


def test_variation_smooths() -> None:
    rough, smooth = (
        class_images(_Template(), CARD, [0], torch.Generator().manual_seed(1), settings).images
        for settings in (SETTINGS, ClassInversionSettings(iterations=150, restarts=3, tv=50.0))
    )
    assert smooth.diff(dim=-1).abs().mean() < rough.diff(dim=-1).abs().mean() / 2


def test_batch_of_classes_equals_single_classes() -> None:
    together = class_images(_Template(), CARD, [2, 0], torch.Generator().manual_seed(4), SETTINGS)
    alone = class_images(_Template(), CARD, [0], torch.Generator().manual_seed(4), SETTINGS)
    torch.testing.assert_close(together.images[1], alone.images[0])


def test_one_logit_means_two_classes() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1)).double()
    with torch.no_grad():
        model[1].weight.fill_(1.0)
        model[1].bias.fill_(-18.0)
    found = class_images(model, Knowledge(SHAPE, 2), [0, 1], torch.Generator().manual_seed(0), SETTINGS)
    assert found.images[0].mean() < 0.2 < 0.8 < found.images[1].mean()


def test_training_mode_is_put_back_and_failures_are_counted() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).double()
    with torch.no_grad():
        model[1].weight.fill_(torch.inf)
    model.train()
    found = class_images(model, CARD, [1], torch.Generator().manual_seed(0), SETTINGS)
    assert model.training and found.failed.tolist() == [3]
    assert found.images.isnan().all() and found.objective.isnan().all()


@pytest.mark.parametrize("classes", [[0], [1, 0]])
def test_shapes(classes: list[int]) -> None:
    found = class_images(_Template(), CARD, classes, torch.Generator().manual_seed(0), SETTINGS)
    assert found.images.shape == (len(classes), *SHAPE) and found.objective.shape == (len(classes),)
