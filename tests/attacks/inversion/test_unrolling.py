from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.common_loss import common_loss
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.dlg import DlgSettings, dlg
from fedprivacy.attacks.inversion.gradients import Layout, frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge, Start
from fedprivacy.attacks.inversion.unroll import UnrollSettings, UpdateMap, local_steps, order_free
from fedprivacy.config.base import UsageError
from fedprivacy.metrics.images import score_images
from fedprivacy.training.adam import Form, as_keras

State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, LIKE = (1, 8, 8), torch.zeros(1, dtype=torch.float64)
LABELS = torch.tensor([2, 0, 3, 1])


def _update(model: nn.Module, batches: list[tuple[Tensor, Tensor]], lr: float, hold: float = 0.0) -> dict[str, Tensor]:
    """Weights after minus before, by torch's own SGD; ``hold`` weighs a proximal term."""
    client = copy.deepcopy(model)
    optimiser = torch.optim.SGD(client.parameters(), lr=lr)
    for x, y in batches:
        optimiser.zero_grad()
        far = [(p - before).square().sum() for p, before in zip(client.parameters(), model.parameters(), strict=True)]
        (F.cross_entropy(client(x), y) + hold / 2 * torch.stack(far).sum()).backward()
        optimiser.step()
    after = dict(client.named_parameters())
    return {name: (after[name] - before).detach() for name, before in model.named_parameters()}


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _psnr(found: Tensor, truth: Tensor) -> float:
    return float(score_images(found.numpy(), truth.numpy(), np.full(SHAPE, 0.5)).psnr.mean())


@pytest.mark.parametrize("hold", [0.0, 2.0])
def test_simulation_equals_the_client_s_training(smooth: nn.Module, images: Tensor, hold: float) -> None:
    """Two epochs of two batches, by torch.optim.SGD and by the map; at the true records the distance is 0."""
    x = images[:4]
    update = _update(smooth, [(x[:2], LABELS[:2]), (x[2:], LABELS[2:])] * 2, 0.1, hold)
    card = Knowledge(SHAPE, 4, shared="update", records=4, batch=2, epochs=2, lr=0.1, hold=hold)
    simulated = UpdateMap(frozen_copy(smooth, {}, card, LIKE), card).gradients(
        x[None], one_hot(LABELS, 4, x.dtype)[None]
    )
    torch.testing.assert_close(simulated[0], Layout.of(smooth).flat(update, LIKE) / -0.1)
    targets = one_hot(LABELS, 4, x.dtype)[None]
    assert float(common_loss(smooth, {}, [update], card, x[None], targets)) < 1e-9
    assert float(common_loss(smooth, {}, [update], card, x.flip(0)[None], targets)) > 0.01


def test_copies_enter_their_own_epoch(smooth: nn.Module, images: Tensor) -> None:
    card = Knowledge(SHAPE, 4, shared="update", records=2, epochs=2, lr=0.1)
    twin, labels = frozen_copy(smooth, {}, card, LIKE), LABELS[:2].repeat(2)
    x = torch.cat([images[:2], images[2:4]])
    found = UpdateMap(twin, card, copies=2).gradients(x[None], one_hot(labels, 4, x.dtype)[None])
    update = _update(smooth, [(images[:2], LABELS[:2]), (images[2:4], LABELS[:2])], 0.1)
    torch.testing.assert_close(found[0], Layout.of(smooth).flat(update, LIKE) / -0.1)


def test_five_steps_on_four_records_beat_the_update_taken_as_one_gradient(
    smooth: nn.Module, images: Tensor, state_of: State
) -> None:
    x, lr, steps = images[:4], 0.1, 5
    update = _update(smooth, [(x, LABELS)] * steps, lr)
    card = Knowledge(SHAPE, 4, shared="update", records=4, epochs=steps, lr=lr)
    settings = DlgSettings(outer=5)
    unrolled = local_steps(
        smooth, state_of(smooth), [update], card, LABELS[None], _generator(), UnrollSettings(lbfgs=settings)
    )
    gradient = {name: -value / (lr * steps) for name, value in update.items()}
    naive = dlg(
        smooth, state_of(smooth), [gradient], Knowledge(SHAPE, 4, records=4), LABELS[None], _generator(), settings
    )
    assert _psnr(unrolled.images[0], x) > 20 and _psnr(unrolled.images[0], x) > _psnr(naive.images[0], x) + 8
    losses = [common_loss(smooth, {}, [update], card, r.images, r.targets).item() for r in (unrolled, naive)]
    assert losses[0] < losses[1]


def test_signed_steps_unroll_too(smooth: nn.Module, images: Tensor, state_of: State) -> None:
    x = images[:1]
    update = _update(smooth, [(x, LABELS[:1])] * 2, 0.1)
    card = Knowledge(SHAPE, 4, shared="update", epochs=2, lr=0.1)
    settings = UnrollSettings("signed", signed=CosineSettings(iterations=100, tv=(0.001,)))
    found = local_steps(smooth, state_of(smooth), [update], card, LABELS[:1, None], _generator(), settings)
    assert _psnr(found.images[0], x) > _psnr(torch.full_like(x, 0.5), x) + 3
    with pytest.raises(UsageError, match="needs labels"):
        local_steps(smooth, state_of(smooth), [update], card, None, _generator(), settings)


def test_unknown_order_matches_and_averages_the_copies(smooth: nn.Module, images: Tensor, state_of: State) -> None:
    """The client takes two records in steps of one, the second epoch in another order than the first."""
    x, y = images[:2], torch.tensor([2, 0])
    update = _update(smooth, [(x[i : i + 1], y[i : i + 1]) for i in (0, 1, 1, 0)], 0.05)
    card = Knowledge(SHAPE, 4, shared="update", records=2, batch=1, epochs=2, lr=0.05, order="unknown")
    settings = UnrollSettings(lbfgs=DlgSettings(outer=4))
    found, wrong = (
        local_steps(smooth, state_of(smooth), [update], knowledge, y[None], _generator(), settings)
        for knowledge in (card, replace(card, order="known"))
    )
    assert found.images.shape == (1, 2, *SHAPE) and sorted(found.labels[0].tolist()) == [0, 2]
    grey = _psnr(torch.full_like(x, 0.5), x)
    assert _psnr(found.images[0], x) > grey + 4 and _psnr(found.images[0], x) > _psnr(wrong.images[0], x) + 4


def test_penalty_forgets_order_and_has_its_derivative(images: Tensor) -> None:
    card = Knowledge(SHAPE, 4, shared="update", records=3, batch=1, epochs=2, lr=0.1, order="unknown")
    penalty = order_free(card, 2, 1.0, _generator(), LIKE)
    same = torch.cat([images[:3], images[[2, 0, 1]]])[None]
    assert float(penalty(same)[0]) < 1e-12
    x = torch.cat([images[:3], images[3:]])[None]
    value, slope = penalty(x)
    assert float(value) > 1e-4
    move = torch.randn(x.shape, generator=_generator(), dtype=torch.float64)
    ahead, behind = (float(penalty(x + sign * 1e-6 * move)[0]) for sign in (1, -1))
    assert (ahead - behind) / 2e-6 == pytest.approx(float((slope * move).sum()), rel=1e-4)


def test_what_cannot_be_simulated_is_refused(smooth: nn.Module) -> None:
    card = Knowledge(SHAPE, 4)
    with pytest.raises(UsageError, match="a gradient has none"):
        local_steps(smooth, {}, [], card, None, _generator())
    with pytest.raises(UsageError, match="learning rate must be known"):
        UpdateMap(smooth, replace(card, shared="update", epochs=3))


@pytest.mark.parametrize("form", ["torch", "keras"])
def test_simulated_adam_is_torchs_own(form: Form, smooth: nn.Module, images: Tensor, state_of: State) -> None:
    start, x, y = state_of(smooth), images[:4], LABELS[:4]
    card = Knowledge(SHAPE, 4, shared="update", records=4, batch=2, epochs=3, lr=0.01, adam=Adam(1e-3, form))
    found = UpdateMap(frozen_copy(smooth, start, card, LIKE), card).gradients(
        x[None], one_hot(y, 4, torch.float64)[None]
    )
    optimizer = torch.optim.Adam(smooth.parameters(), lr=0.01, eps=1e-3)
    if form == "keras":
        as_keras(optimizer, 1e-3)
    for _ in range(3):
        for rows in (slice(0, 2), slice(2, 4)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(smooth(x[rows]), y[rows]).backward()
            optimizer.step()
    moved = {name: (start[name] - value.detach()) / 0.01 for name, value in smooth.named_parameters()}
    torch.testing.assert_close(found[0], Layout.of(smooth).flat(moved, LIKE))


def test_adam_that_kept_its_moments_is_simulated_from_where_each_round_began(
    smooth: nn.Module, images: Tensor, state_of: State
) -> None:
    first, x, y = state_of(smooth), images[:4], LABELS[:4]
    second = {
        name: value + 0.1 * torch.sin(torch.arange(value.numel())).view_as(value) for name, value in first.items()
    }
    optimizer = torch.optim.Adam(smooth.parameters(), lr=0.01, eps=1e-3)
    for start in (first, second):
        smooth.load_state_dict(start)
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(smooth(x), y).backward()
            optimizer.step()
    moved = {name: (second[name] - value.detach()) / 0.01 for name, value in smooth.named_parameters()}
    wanted = Layout.of(smooth).flat(moved, LIKE)
    card = Knowledge(SHAPE, 4, shared="update", records=4, epochs=2, lr=0.01, adam=Adam(1e-3, past=(Start(first),)))
    problem, one = UpdateMap(frozen_copy(smooth, second, card, LIKE), card), one_hot(y, 4, torch.float64)[None]
    torch.testing.assert_close(problem.gradients(x[None], one)[0], wanted)
    fresh = UpdateMap(frozen_copy(smooth, second, card, LIKE), replace(card, adam=Adam(1e-3)))
    assert float((fresh.values(x[None], one)[0] - wanted).norm() / wanted.norm()) > 0.1


def test_a_smoothed_adam_has_the_slope_of_its_own_values(smooth: nn.Module, images: Tensor, state_of: State) -> None:
    card = Knowledge(SHAPE, 4, shared="update", records=2, epochs=3, lr=0.01, adam=Adam())
    problem = UpdateMap(frozen_copy(smooth, state_of(smooth), card, LIKE), card, soft=0.1)
    targets, aside = one_hot(LABELS[:2], 4, torch.float64)[None], torch.randn(images[:2].shape, generator=_generator())
    along = torch.randn(problem.gradients(images[None, :2], targets).shape, generator=_generator()).double()
    slope, _ = problem.pullback(along)
    up, down = (problem.gradients(images[None, :2] + h * aside, targets) for h in (1e-5, -1e-5))
    assert float((slope[0] * aside).sum()) == pytest.approx(float(((up - down) * along).sum()) / 2e-5, rel=1e-4)


def test_random_batches_of_clipped_steps_are_met_on_average(smooth: nn.Module, images: Tensor) -> None:
    """Two steps on two of four records each: the mean over all ways to deal them, and each record at half in both."""
    x, targets = images[:4], one_hot(LABELS, 4, images.dtype)
    dealt = Knowledge(SHAPE, 4, shared="update", records=4, batch=2, lr=0.02, clip=0.5, expected=2.0)
    average = replace(dealt, batch=None, epochs=2, expected=4.0)
    twin = frozen_copy(smooth, {}, dealt, LIKE)
    orders = torch.tensor(list(permutations(range(4))))
    mean = UpdateMap(twin, dealt).gradients(x[orders], targets[orders]).mean(0)
    met = UpdateMap(twin, average).gradients(x[None], targets[None])[0]
    single = UpdateMap(twin, dealt).gradients(x[None], targets[None])[0]
    away, single_away = (float(torch.linalg.vector_norm(one - mean)) for one in (met, single))
    assert away < 5e-3 * float(torch.linalg.vector_norm(mean)) and single_away > away
