from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.dlg import DlgSettings, dlg
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.config.base import UsageError
from fedprivacy.metrics.images import ImageScores, score_images

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, LABELS = (1, 8, 8), torch.tensor([2, 0, 3, 1, 1, 2])
CARD, QUICK = Knowledge(SHAPE, 4), DlgSettings(outer=8)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _scores(found: Tensor, truth: Tensor) -> ImageScores:
    return score_images(found.numpy(), truth.numpy(), np.full(SHAPE, 0.5))


@pytest.fixture
def messages(smooth: nn.Module, images: Tensor, gradient_of: Gradient) -> list[dict[str, Tensor]]:
    return [gradient_of(smooth, images[i : i + 1], LABELS[i : i + 1]) for i in range(len(images))]


def test_planted_gradients_give_their_records(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    found = dlg(smooth, state_of(smooth), messages, CARD, LABELS[:, None], _generator(), QUICK)
    assert found.images.shape == (6, 1, *SHAPE) and not found.failed.any()
    scores = _scores(found.images[:, 0], images)
    assert scores.psnr.min() > 40 and np.array_equal(np.sort(scores.match), np.arange(6))


def test_labels_are_found_with_the_records(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    found = dlg(smooth, state_of(smooth), messages, CARD, None, _generator(), QUICK)
    assert found.labels.flatten().tolist() == LABELS.tolist()
    assert _scores(found.images[:, 0], images).psnr.mean() > 40


def test_null_the_gradient_of_other_records_scores_like_chance(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    """Reconstructions from three messages against the three other records: no better than those of any attack."""
    found = dlg(smooth, state_of(smooth), messages[:3], CARD, LABELS[:3, None], _generator(), QUICK)
    own, strange = _scores(found.images[:, 0], images[:3]), _scores(found.images[:, 0], images[3:])
    mean = _scores(images[:3].mean(0, keepdim=True), images[3:])
    assert own.psnr.mean() > 40 and strange.psnr.mean() < mean.psnr.mean() + 1.5


def test_batch_equals_single_runs(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    settings = DlgSettings(outer=3, restarts=2, space="pixels")
    together = dlg(smooth, state_of(smooth), messages, CARD, LABELS[:, None], _generator(), settings)
    for target in (0, 4):
        alone = dlg(
            smooth, state_of(smooth), [messages[target]], CARD, LABELS[target].view(1, 1), _generator(), settings
        )
        torch.testing.assert_close(together.images[target], alone.images[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together.loss[target], alone.loss[0], rtol=1e-5, atol=1e-12)


def test_copies_of_one_record_recover_one(
    smooth: nn.Module, images: Tensor, gradient_of: Gradient, state_of: State
) -> None:
    """The attack shows one record four times; matched one to one that is a hit and three misses."""
    message = gradient_of(smooth, images[:1], LABELS[:1])
    found = dlg(smooth, state_of(smooth), [message] * 4, CARD, LABELS[:1].expand(4, 1), _generator(), QUICK)
    scores = _scores(found.images[:, 0], images[:4])
    assert int((scores.psnr > 30).sum()) == 1


def test_a_batch_in_normalised_inputs(
    smooth: nn.Module, images: Tensor, gradient_of: Gradient, state_of: State
) -> None:
    card = replace(CARD, records=2, mean=(0.45,), std=(0.3,))
    labels = torch.tensor([3, 1])
    message = gradient_of(smooth, card.to_input(images[:2]), labels)
    found = dlg(smooth, state_of(smooth), [message], card, labels[None], _generator(), DlgSettings(outer=12))
    assert _scores(found.images[0], images[:2]).psnr.min() > 30


def test_restart_of_the_lowest_own_loss_is_returned(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    one, many = (
        dlg(
            smooth,
            state_of(smooth),
            messages[:2],
            CARD,
            LABELS[:2, None],
            _generator(),
            replace(QUICK, outer=2, restarts=r),
        )
        for r in (1, 4)
    )
    assert (many.loss <= one.loss).all() and many.restarts == 4


def test_an_update_of_one_step_serves_and_of_several_is_refused(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    update = {name: -0.05 * value for name, value in messages[0].items()}
    card = replace(CARD, shared="update", lr=0.05)
    found = dlg(smooth, state_of(smooth), [update], card, LABELS[:1, None], _generator(), QUICK)
    assert _scores(found.images[0], images[:1]).psnr[0] > 40
    with pytest.raises(UsageError, match="use the attack 'local-steps'"):
        dlg(smooth, state_of(smooth), [update], replace(card, epochs=2), None, _generator(), QUICK)
    with pytest.raises(UsageError, match="use 'cosine'"):
        dlg(smooth, state_of(smooth), [update], replace(card, lr=None), None, _generator(), QUICK)


def test_restarts_that_are_not_finite_are_counted(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    broken = {name: value * torch.nan for name, value in messages[0].items()}
    found = dlg(
        smooth,
        state_of(smooth),
        [broken, messages[1]],
        CARD,
        LABELS[:2, None],
        _generator(),
        replace(QUICK, restarts=2, outer=1, unsolved=1e9),
    )
    assert found.failed.tolist() == [4, 0] and found.restarts == 4
    assert found.images[0].isnan().all() and found.loss[0].isnan() and found.images[1].isfinite().all()


def test_same_generator_same_result_and_nothing_is_changed(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    state, copies = state_of(smooth), [{k: v.clone() for k, v in m.items()} for m in messages[:2]]
    runs = [
        dlg(smooth, state, messages[:2], CARD, None, _generator(), replace(QUICK, outer=1, restarts=2))
        for _ in range(2)
    ]
    assert torch.equal(runs[0].images, runs[1].images)
    for before, after in zip(copies, messages[:2], strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(state[name], value) for name, value in smooth.state_dict().items())


def test_targets_left_unsolved_get_another_round_and_only_they(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    once = replace(QUICK, outer=1, retries=0)
    first = dlg(smooth, state_of(smooth), messages, CARD, LABELS[:, None], _generator(), once)
    middle = float(first.loss.median())
    again = dlg(
        smooth,
        state_of(smooth),
        messages,
        CARD,
        LABELS[:, None],
        _generator(),
        replace(once, retries=1, unsolved=middle),
    )
    assert (again.loss <= first.loss).all()
    assert torch.equal(again.images[first.loss <= middle], first.images[first.loss <= middle])
    assert first.evaluations < again.evaluations < 2 * first.evaluations
