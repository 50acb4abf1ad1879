from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion import analytic, best, cosine, dlg, imprint, label_recovery, pli, unroll
from fedprivacy.attacks.inversion.best import BestSettings, attacks_for, best_of
from fedprivacy.attacks.inversion.common_loss import common_loss
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.dlg import DlgSettings
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.config.base import UsageError
from fedprivacy.metrics.images import score_images
from fedprivacy.models.build import build

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, LABELS = (1, 8, 8), torch.tensor([2, 0])
CARD = Knowledge(SHAPE, 4)
QUICK = BestSettings(DlgSettings(outer=6), CosineSettings(iterations=40), explained=0.0)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.fixture
def messages(smooth: nn.Module, images: Tensor, gradient_of: Gradient) -> list[dict[str, Tensor]]:
    return [gradient_of(smooth, images[i : i + 1], LABELS[i : i + 1]) for i in range(2)]


def test_lowest_common_loss_wins_and_every_attack_has_its_row(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    found = best_of(smooth, state_of(smooth), messages, CARD, _generator(), settings=QUICK)
    assert [row.attack for row in found.rows] == ["idlg", "cosine"]
    assert found.chosen == ("idlg", "idlg") and found.errors == ()
    torch.testing.assert_close(found.loss, torch.stack([row.loss for row in found.rows]).min(0).values)
    assert all(row.cpu_seconds > 0 for row in found.rows)
    assert found.targets.argmax(2).flatten().tolist() == LABELS.tolist()
    scores = score_images(found.images[:, 0].numpy(), images[:2].numpy(), np.full(SHAPE, 0.5))
    assert scores.psnr.min() > 30


def test_common_loss_is_zero_at_the_records_and_needs_no_truth(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    targets = torch.eye(4, dtype=torch.float64)[LABELS][:, None]
    at_truth = common_loss(smooth, state_of(smooth), messages, CARD, images[:2, None], targets)
    assert at_truth.max() < 1e-12
    assert common_loss(smooth, state_of(smooth), messages, CARD, images[2:4, None], targets).min() > 0.01


def test_no_attack_has_a_place_for_truth() -> None:
    """Selection cannot look at the records: no public function of an attack takes them."""
    for module in (analytic, best, cosine, dlg, imprint, label_recovery, pli, unroll):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                assert not {"truth", "truths", "true_images", "private"} & set(
                    inspect.signature(function).parameters
                ), name


def test_attacks_that_fit() -> None:
    smooth, mlp = build("lenet-sigmoid", SHAPE, 4, "softmax", 0, "a"), build("mlp", SHAPE, 4, "softmax", 0, "a")
    assert attacks_for(smooth, CARD) == ("idlg", "cosine")
    assert attacks_for(mlp, replace(CARD, labels="joint")) == ("analytic", "dlg", "cosine")
    update = replace(CARD, shared="update")
    assert attacks_for(smooth, update) == ("cosine",)
    assert attacks_for(smooth, replace(update, lr=0.1)) == ("idlg", "cosine")
    assert attacks_for(smooth, replace(update, lr=0.1, epochs=4)) == ("local-steps",)
    assert attacks_for(mlp, replace(update, lr=0.1, epochs=4)) == ("spear", "local-steps")
    assert attacks_for(mlp, replace(CARD, records=8)) == ("spear", "analytic", "idlg", "cosine")
    assert attacks_for(mlp, replace(CARD, records=8, zeros="unknown")) == ("analytic", "idlg", "cosine")


def test_attack_that_does_not_fit_is_refused(smooth: nn.Module, messages: list[dict[str, Tensor]]) -> None:
    with pytest.raises(UsageError, match=r"'local-steps' does not fit this message\. Fitting: idlg, cosine"):
        best_of(smooth, {}, messages, CARD, _generator(), settings=QUICK, attacks=["local-steps"])


def test_linear_first_layer_is_read_exactly(images: Tensor, gradient_of: Gradient, state_of: State) -> None:
    model = build("mlp", SHAPE, 4, "softmax", 0, "net").double()
    messages = [gradient_of(model, images[i : i + 1], LABELS[i : i + 1]) for i in range(2)]
    settings = BestSettings(DlgSettings(outer=1), CosineSettings(iterations=10))
    found = best_of(model, state_of(model), messages, CARD, _generator(), settings=settings)
    assert found.chosen == ("analytic", "analytic")
    assert float((found.images[:, 0] - images[:2]).abs().max()) < 1e-5


def test_budget_stops_later_attacks_and_says_so(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    settings = replace(QUICK, seconds=1e-9)
    found = best_of(smooth, state_of(smooth), messages, CARD, _generator(), settings=settings)
    assert found.rows[1].found is None and "budget of 1e-09 s was spent" in found.rows[1].why_not
    assert found.chosen == ("idlg", "idlg")


def test_all_restarts_failed_is_an_error(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    broken = {name: value * torch.nan for name, value in messages[0].items()}
    quick = BestSettings(DlgSettings(outer=1), CosineSettings(iterations=4))
    found = best_of(smooth, state_of(smooth), [broken, messages[1]], CARD, _generator(), settings=quick)
    assert found.chosen[0] == "" and found.images[0].isnan().all() and found.loss[0].isnan()
    assert found.errors == ("target 0: every restart of every attack failed",) and found.chosen[1] != ""


def test_given_labels_are_used(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    card = replace(CARD, labels="given", given_labels=(3,))
    found = best_of(smooth, state_of(smooth), messages[:1], card, _generator(), settings=QUICK, attacks=["cosine"])
    assert found.targets.argmax(2).tolist() == [[3]]


def test_joint_labels_are_found(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    card = replace(CARD, labels="joint")
    found = best_of(smooth, state_of(smooth), messages, card, _generator(), settings=QUICK, attacks=["dlg"])
    assert found.targets.argmax(2).flatten().tolist() == LABELS.tolist()


def test_nothing_is_run_on_a_message_that_is_explained(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    shares: list[float] = []
    settings = replace(QUICK, explained=1e-3)
    found = best_of(smooth, state_of(smooth), messages, CARD, _generator(), settings=settings, progress=shares.append)
    assert [row.why_not for row in found.rows] == ["", "an earlier attack explains every message"]
    assert shares == [0.0, 0.5]
