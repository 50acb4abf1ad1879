"""Whole batches from a dense ReLU layer: exact on constructed cases, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.best import BestSettings, best_of
from fedprivacy.attacks.inversion.exact.basis import Layer, independent
from fedprivacy.attacks.inversion.exact.factors import FLAT, factors
from fedprivacy.attacks.inversion.exact.head import astray, head_behind
from fedprivacy.attacks.inversion.exact.search import Directions, Rows, Search, merged
from fedprivacy.attacks.inversion.exact.slopes import slopes_by
from fedprivacy.attacks.inversion.exact.spear import SpearSettings, dense_relu, seen, spear
from fedprivacy.attacks.inversion.gradients import frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.messages import Sent
from fedprivacy.attacks.inversion.plans import Plans
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import TrainingConfig
from fedprivacy.data.pixels import PixelScale
from fedprivacy.models.build import build
from tests.attacks.inversion.exact.dense import (
    CARD,
    CLASSES,
    SHAPE,
    Message,
    draw_of,
    farthest,
    gradient_behind,
    mlp,
    records,
    state,
)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_every_record_and_label_of_a_batch_is_read_exactly_and_nobody_tells_how_many(number: int) -> None:
    model = mlp()
    x, labels = records(number)
    found = spear(model, state(model), gradient_behind(model, CARD.to_input(x), labels), CARD, draw_of())
    assert found is not None and found.match == 1.0
    assert found.images.shape == x.shape and farthest(found.images, x) < 1e-8
    order = torch.cdist(x.flatten(1), found.images.flatten(1)).argmin(1)
    assert found.labels[order].tolist() == labels.tolist()


def test_rounded_messages_and_scaled_inputs_are_read_to_rounding() -> None:
    card = replace(CARD, shared="update", lr=None)
    model = mlp().float()
    x, labels = records(6)
    before = state(model)
    gradient = gradient_behind(model, card.to_input(x).float(), labels)
    update = {name: ((before[name] - 0.1 * slope) - before[name]).double() for name, slope in gradient.items()}
    found = spear(model, before, update, card, draw_of())
    assert found is not None and farthest(found.images, x) < 1e-3


@pytest.mark.parametrize(("momentum", "pull"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.5)])
def test_steps_of_sgd_on_the_same_records_stay_of_low_rank(momentum: float, pull: float) -> None:
    """With momentum or a proximal term an update still is a sum of multiples of the records."""
    model = mlp()
    x, labels = records(5)
    before = state(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum)
    for _ in range(4):
        optimiser.zero_grad()
        far = sum((p - before[n]).square().sum() for n, p in model.named_parameters())
        (F.cross_entropy(model(CARD.to_input(x)), labels) + pull / 2 * far).backward()
        optimiser.step()
    update = {name: value - before[name] for name, value in state(model).items()}
    card, quick = replace(CARD, shared="update"), SpearSettings(patience=0)
    found = spear(model, before, update, card, draw_of(), settings=quick)
    assert found is not None and farthest(found.images, x) < 1e-6
    order = torch.cdist(x.flatten(1), found.images.flatten(1)).argmin(1)
    assert found.labels[order].tolist() == labels.tolist()


def test_many_steps_that_can_be_simulated_are_left_to_the_loss() -> None:
    """Over thirty steps ReLUs change, and the score of the right records falls below that of a sound basis."""
    model = mlp()
    x, labels = records(5)
    before = state(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(30):
        optimiser.zero_grad()
        F.cross_entropy(model(CARD.to_input(x)), labels).backward()
        optimiser.step()
    update = {name: value - before[name] for name, value in state(model).items()}
    card = replace(CARD, shared="update", records=5, epochs=30, lr=0.3)
    strict = SpearSettings(patience=0, sound=0.99)
    settings, draw = BestSettings(spear=strict), draw_of()
    own = best_of(model, before, [update], card, draw, None, settings, ["spear"], labels[None])
    assert own.chosen == ("spear",) and float(own.loss) < 1e-6 and farthest(own.images[0], x) < 1e-6
    untold = replace(card, lr=None)
    assert seen(model, update, untold) is not None
    assert spear(model, before, update, untold, draw_of(), settings=strict) is None


def test_records_that_are_much_alike_are_told_from_sparser_mixtures_by_the_last_layer() -> None:
    """Photographs: most rows are those that every record activates or none does, and differences of records are zero
    at all of these."""
    model = build("mlp", (1, 16, 16), 2, "softmax", 0, "alike").double()
    draw = draw_of(3)
    same = torch.rand(1, 1, 16, 16, generator=draw, dtype=torch.float64)
    x = (same + 0.35 * torch.randn(8, 1, 16, 16, generator=draw, dtype=torch.float64)).clamp(0, 1)
    card = Knowledge((1, 16, 16), 2)
    labels = torch.arange(8) % 2
    gradient = gradient_behind(model, x, labels)
    found = spear(model, state(model), gradient, card, draw_of(), settings=SpearSettings(rounds=4))
    assert found is not None and found.match == 1.0 and farthest(found.images, x) < 1e-6


def test_the_last_layer_says_something_where_it_reads_the_relus_alone() -> None:
    deep = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    for model, says in ((mlp(), True), (deep.double(), False)):
        twin = frozen_copy(model, state(model), CARD, torch.zeros(1, dtype=torch.float64))
        head = head_behind(twin, "1", state(model), CARD)
        assert (head is not None) is says
        if head is None:
            continue
        x, labels = records(6)
        slopes = slopes_by(twin, "1", CARD.to_input(x), one_hot(labels, CLASSES, torch.float64))
        mixed = slopes + slopes.roll(1, 0)
        assert float(astray(head, slopes, slopes == 0).max()) < 1e-6
        assert float(astray(head, mixed, mixed == 0).min()) > 0.1


def test_rows_of_features_are_read() -> None:
    model = build("mlp", (30,), CLASSES, "softmax", 0, "features").double()
    draw = draw_of(2)
    x, labels = (torch.rand(6, 30, generator=draw, dtype=torch.float64) < 0.4).double(), torch.arange(6) % CLASSES
    card = Knowledge((30, 1, 1), CLASSES)
    found = spear(model, state(model), gradient_behind(model, x, labels), card, draw_of())
    assert found is not None and farthest(found.images, x[:, :, None, None]) < 1e-7


def test_what_is_not_of_low_rank_tells_no_number_of_records() -> None:
    model = mlp()
    x, labels = records(6)
    gradient = gradient_behind(model, CARD.to_input(x), labels)
    draw = draw_of(8)
    noisy = {n: g + g.std() * torch.randn(g.shape, generator=draw, dtype=g.dtype) for n, g in gradient.items()}
    signs = {name: slope.sign() + 1e-3 * slope for name, slope in gradient.items()}
    many = gradient_behind(model, *records(40))
    nothing = {name: torch.zeros_like(slope) for name, slope in gradient.items()}
    for message in (noisy, signs, many, nothing):
        assert seen(model, message, CARD) is None
    assert seen(model, gradient, replace(CARD, zeros="unknown")) is None
    with pytest.raises(UsageError, match="'spear' needs a first dense layer"):
        spear(model, state(model), noisy, CARD, draw_of())


def test_it_fits_a_dense_first_layer_with_a_relu_alone(smooth: nn.Module) -> None:
    assert dense_relu(mlp(), CARD) == "1"
    assert dense_relu(build("mlp", SHAPE, CLASSES, "softmax", 0, "m"), CARD) == "hidden"
    sigmoid = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, CLASSES))
    last = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    for model in (smooth, build("cnn", SHAPE, CLASSES, "softmax", 0, "m"), sigmoid, last):
        assert dense_relu(model, CARD) is None


def _planted(size: int, rows: int) -> tuple[Tensor, Tensor]:
    """An orthonormal left factor [rows, size] and the true directions [size, size] in its span, half of it zero."""
    draw = draw_of(4)
    slopes = torch.randn(rows, size, generator=draw, dtype=torch.float64)
    slopes = slopes * (torch.rand(rows, size, generator=draw) < 0.5)
    left, triangle = torch.linalg.qr(slopes)
    return left, (triangle / torch.linalg.vector_norm(triangle, dim=0)).T


@pytest.mark.parametrize(("size", "sweeps", "number"), [(5, 0, 600), (10, 25, 200)])
def test_planted_sparse_directions_are_found_and_score_above_mixtures(size: int, sweeps: int, number: int) -> None:
    """As published by draws alone; with sweeps where draws alone would need thousands."""
    left, truth = _planted(size, 100)
    rows = Rows.unknown(100)
    search, found, draw = Search(left, rows, 1e-9), Directions.none(size, 100), draw_of()
    for _ in range(4):
        found = merged(found, search.drawn(number, draw, sweeps, found.likely), 8 * size)
    alike = (found.vectors @ truth.T).abs()
    assert bool((alike.max(0).values > 1 - 1e-9).all())
    assert len(independent(found, size)) == size
    mixture = truth[0] + truth[1]
    pattern = torch.stack([(left @ v).abs() < 1e-9 for v in (truth[0], mixture)])
    assert float(rows.score(pattern)[0]) > 0 > float(rows.score(pattern)[1])


def test_bias_gradient_gives_the_scale_and_the_score_tells_a_wrong_basis() -> None:
    model = mlp()
    x, labels = records(4)
    gradient = gradient_behind(model, CARD.to_input(x), labels)
    made = factors(gradient["1.weight"], gradient["1.bias"])
    assert made is not None and made.rank == 4
    z = F.linear(CARD.to_input(x).flatten(1), *(state(model)[f"1.{n}"] for n in ("weight", "bias"))).requires_grad_()
    (slopes,) = torch.autograd.grad(F.cross_entropy(model[3](z.relu()), labels), z)  # type: ignore[index]
    q = made.left.T @ slopes.T
    vectors, zero = (q / torch.linalg.vector_norm(q, dim=0)).T, slopes == 0
    layer = Layer.sent(made, state(model)["1.weight"], state(model)["1.bias"])
    basis = layer.read(vectors, zero)
    assert basis is not None and basis.match == 1.0
    torch.testing.assert_close(layer.records(basis), CARD.to_input(x).flatten(1))
    torch.testing.assert_close(layer.slopes(basis), slopes)
    wrong = layer.read(F.normalize(vectors.roll(1, 0) + 0.5 * vectors, dim=1), zero)
    assert wrong is not None and wrong.match < 0.9


def test_another_clients_message_gives_its_own_records(gradient_of: Callable[..., Message]) -> None:
    model = mlp()
    x, _ = records(5)
    other, marks = records(5, seed=6)
    found = spear(model, state(model), gradient_of(model, CARD.to_input(other), marks), CARD, draw_of())
    assert found is not None and farthest(found.images, other) < 1e-8 and farthest(found.images, x) > 0.1


def test_draws_alone_are_an_option() -> None:
    model = mlp()
    x, labels = records(4)
    found = spear(
        model,
        state(model),
        gradient_behind(model, CARD.to_input(x), labels),
        CARD,
        draw_of(),
        settings=SpearSettings(sweeps=0),
    )
    assert found is not None and farthest(found.images, x) < 1e-8


def test_a_wide_layer_has_the_same_factors() -> None:
    """Wide ones are decomposed by way of their triangle."""
    draw = draw_of()
    whole = torch.randn(12, 3, generator=draw).double() @ torch.randn(3, 90, generator=draw).double()
    made = factors(whole[:, :-1], whole[:, -1])
    assert made is not None and made.rank == 3
    torch.testing.assert_close(made.left @ made.right, whole)
    torch.testing.assert_close(made.left.T @ made.left, torch.eye(3).double())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weight_decay_is_taken_off_before_the_rank_is_read(momentum: float) -> None:
    """Decay moves every weight, so that a change is of full rank; what is left without it is of the records' rank."""
    model = mlp()
    x, labels = records(5)
    before = state(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum, weight_decay=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        F.cross_entropy(model(CARD.to_input(x)), labels).backward()
        optimiser.step()
    change = {name: value - before[name] for name, value in state(model).items()}
    training = TrainingConfig(optimizer="sgd", lr=0.05, momentum=momentum, weight_decay=0.1)
    told: Any = SimpleNamespace(settings=SimpleNamespace(training=training))
    plans = Plans(model, told, PixelScale(SHAPE), frozenset(change))
    left = plans.undecayed(Sent(1, 0, 1, before, change, 5), 4)
    assert factors(change["1.weight"], change["1.bias"]) is None
    made = factors(left["1.weight"], left["1.bias"])
    assert made is not None and made.rank == 5


@pytest.mark.parametrize("number", [2, 4])
def test_few_records_behind_a_wide_layer_are_counted_in_float32(number: int) -> None:
    """Rounding follows the few records there, so that its tail is not flat; it lies far below them all the same."""
    draw = draw_of()
    x = torch.rand(number, 1, 28, 28, generator=draw) * (torch.rand(number, 1, 28, 28, generator=draw) < 0.2)
    model = mlp(width=512, inputs=784).float()
    gradient = gradient_behind(model, x, torch.arange(number) % CLASSES)
    made = factors(gradient["1.weight"], gradient["1.bias"])
    assert made is not None and made.rank == number
    whole = torch.linalg.svdvals(torch.cat([gradient["1.weight"], gradient["1.bias"][:, None]], 1).double())
    rounding = whole[number:][whole[number:] > 1e-14 * whole[0]]
    assert rounding[0] > FLAT * rounding.median()


def test_a_first_basis_may_leave_out_directions_that_are_nearly_spanned() -> None:
    """A record with a little of another one in it is independent of it, and takes a third one's place."""
    vectors = F.normalize(torch.tensor([[1.0, 0, 0], [1, 0.01, 0], [0, 0, 1], [0, 1, 0]]).double(), dim=1)
    zero, score = torch.zeros(4, 9, dtype=torch.bool), torch.arange(4.0).flip(0)
    found = Directions(vectors, zero, score, torch.zeros(4))
    assert independent(found, 3) == [0, 1, 2] and independent(found, 3, 0.2) == [0, 2, 3]


def test_a_search_cut_short_gives_no_record_rather_than_a_wrong_one() -> None:
    """Five of twelve records are wrong, and the share of ReLUs that agree in all is sound. No order of the steps is
    known to any simulation, so nothing but the single records can tell."""
    shape, classes, draw = (1, 8, 8), 10, draw_of(0)
    model = build("mlp", shape, classes, "softmax", 0, "net").double()
    same = torch.rand(1, *shape, generator=draw, dtype=torch.float64)
    x = (same + 0.35 * torch.randn(12, *shape, generator=draw, dtype=torch.float64)).clamp(0, 1)
    labels = torch.randint(classes, (12,), generator=draw)
    before, optimiser = state(model), torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in (slice(0, 6), slice(6, 12)):
        optimiser.zero_grad()
        F.cross_entropy(model(x[rows]), labels[rows]).backward()
        optimiser.step()
    update = {name: value - before[name] for name, value in state(model).items()}
    cards = [Knowledge(shape, classes, "update", 12, 6, lr=0.1), Knowledge(shape, classes, "update", 12)]
    short = SpearSettings(rounds=1)
    for card in cards:
        found = spear(model, before, update, card, draw_of(), settings=short)
        assert found is not None and found.match > short.sound and found.least < short.least
        assert farthest(found.images, x) > 0.3
        own = best_of(model, before, [update], card, draw_of(), None, BestSettings(spear=short), ["spear"])
        assert own.images.isnan().all() and own.loss.isnan().all() and not own.rows[0].settled.any()
        assert any("none of it is taken" in note for row in own.rows if row.found for note in row.found.notes)
    whole = best_of(model, before, [update], cards[0], draw_of(), attacks=["spear"])
    assert whole.images.isnan().all() or farthest(whole.images[0], x) < 1e-6
