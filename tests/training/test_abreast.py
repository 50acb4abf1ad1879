"""Fits side by side are the fits alone: other sizes, other batches, other losses, moments that go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training import fleet
from fedprivacy.training.abreast import Abreast, Fit, answered, fitted_abreast
from fedprivacy.training.fleet import Fleet, Member, train_fleet
from fedprivacy.training.learner import Diverged, Epoch, Learner, Loss, Records, Workbench, label_loss, of_logits
from fedprivacy.training.losses import kl_divergence, log_probabilities

SIZES = (21, 40, 8, 33, 1, 24)
"""Batches of 8: one whole and one short pass, a pass of one record, and passes of other lengths."""
OPTIMISERS = [
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "adam", "adam_eps": 1e-3, "adam_eps_form": "keras", "weight_decay": 1e-3},
    {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
    {"optimizer": "sgd", "lr": 0.05},
]


def bench(**changes: object) -> Workbench:
    config = TrainingConfig().model_copy(update={"batch_size": 8, **changes})
    return Workbench(lambda name, seed: build(name, (6,), 3, "softmax", seed[0], *seed[1]).double(), config)


def records(number: int, rows: int) -> Records:
    draw = np.random.default_rng(number)
    return Records(draw.standard_normal((rows, 6)).astype(np.float32), draw.integers(0, 3, rows))


def learners(**changes: object) -> list[Learner]:
    made = [bench(**changes) for _ in SIZES]
    return [one.learner("mlp-small", one.initial("mlp-small", (i, ("start",)))) for i, one in enumerate(made)]


def heard(number: int, rows: int) -> Loss:
    target = log_probabilities(torch.randn(rows, 3, generator=torch.Generator().manual_seed(number)).double())

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels) + kl_divergence(log_probabilities(logits), target[rows])

    return of_logits(loss)


def fits(of: Sequence[Learner], distilled: bool, round: int) -> list[Fit]:
    return [
        Fit(
            learner,
            records(10 * round + i, size),
            2,
            (i, ("fit", round)),
            heard(i, size) if distilled else label_loss,
            not distilled,
            distilled,
            8,
        )
        for i, (learner, size) in enumerate(zip(of, SIZES, strict=True))
    ]


def alone(fit: Fit) -> list[Epoch]:
    how = {"shuffle": fit.shuffle, "even": fit.even, "batch_size": fit.batch_size}
    return fit.learner.fit(fit.records, fit.epochs, fit.seed, fit.loss, **how)  # type: ignore[arg-type]


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole models are compared in float64: in float32 a rounding at a kink is another gradient."""
    for module in ("learner", "abreast"):
        monkeypatch.setattr(f"fedprivacy.training.{module}.normalised", lambda x: x.to(torch.float64))


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("distilled", [False, True])
def test_fits_side_by_side_are_those_alone(optimizer: dict[str, object], distilled: bool, in_float64: None) -> None:
    one_by_one, together = learners(**optimizer), learners(**optimizer)
    for round in (1, 2):  # the second goes on with the moments of the first
        told = [alone(fit) for fit in fits(one_by_one, distilled, round)]
        found = fitted_abreast(fits(together, distilled, round))
        for mine, theirs in zip(told, found, strict=True):
            assert isinstance(theirs, list)
            np.testing.assert_allclose([e.loss for e in theirs], [e.loss for e in mine], rtol=1e-10)
            assert [e.accuracy for e in theirs] == pytest.approx([e.accuracy for e in mine], abs=1e-12)
        for a, b in zip(one_by_one, together, strict=True):
            torch.testing.assert_close(b.weights(), a.weights(), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(b.moments(), a.moments(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMISERS[:3:2])
def test_a_model_does_not_depend_on_who_stands_beside_it(optimizer: dict[str, object], in_float64: None) -> None:
    whole, part = learners(**optimizer), learners(**optimizer)
    fitted_abreast(fits(whole, False, 1))
    for i in (0, 3):
        fitted_abreast(fits(part, False, 1)[i : i + 1])
        torch.testing.assert_close(part[i].weights(), whole[i].weights(), rtol=1e-12, atol=1e-14)


def test_one_that_diverges_is_told_and_harms_nobody() -> None:
    of = learners_in_float32()
    asked = fits(of, False, 1)
    wild = Records(np.full((21, 6), np.inf, dtype=np.float32), asked[0].records.y)
    broken = Fit(asked[0].learner, wild, *list(vars(asked[0]).values())[2:])
    found = answered([broken, *asked[1:]])
    assert isinstance(found[0], Diverged) and "the loss became" in str(found[0])
    assert all(isinstance(one, list) for one in found[1:])
    assert all(bool(torch.isfinite(w).all()) for one in of[1:] for w in one.weights().values())


def learners_in_float32() -> list[Learner]:
    config = TrainingConfig().model_copy(update={"batch_size": 8})
    made = [Workbench(lambda n, s: build(n, (6,), 3, "softmax", s[0], *s[1]), config) for _ in SIZES]
    return [one.learner("mlp-small", one.initial("mlp-small", (i, ("start",)))) for i, one in enumerate(made)]


def test_fits_of_other_settings_are_done_each_with_its_own_kind() -> None:
    of = learners_in_float32()
    asked = fits(of, False, 1)
    for place in (1, 4):
        one = asked[place]
        asked[place] = Fit(one.learner, one.records, 3, one.seed, one.loss, True, False, 5)
    twins = learners_in_float32()
    for fit, twin, found in zip(asked, twins, answered(asked), strict=True):
        told = alone(Fit(twin, *list(vars(fit).values())[1:]))
        assert isinstance(found, list) and len(found) == len(told) == fit.epochs
        np.testing.assert_allclose([e.loss for e in found], [e.loss for e in told], rtol=1e-4)


def test_a_learner_hands_over_what_can_be_done_together_and_does_the_rest_itself() -> None:
    handed: list[Fit] = []

    def meet(fit: Fit) -> list[Epoch]:
        handed.append(fit)
        (found,) = answered([fit])
        assert isinstance(found, list)
        return found

    config = TrainingConfig().model_copy(update={"batch_size": 8, "augmentation": ("flip",)})
    plain = Workbench(lambda n, s: build(n, (6,), 3, "softmax", s[0], *s[1]), config).beside(Abreast(meet))
    start = plain.initial("mlp-small", (0, ("start",)))
    given, seed = records(0, 21), (0, ("fit",))
    assert plain.learner("mlp-small", start).fit(given, 1, seed) and len(handed) == 1
    assert (
        plain.with_training(config).learner("mlp-small", start).fit(given, 1, seed, heard(0, 21)) and len(handed) == 2
    )
    other: Loss = lambda logits, labels, rows: nn.functional.cross_entropy(logits, labels)  # noqa: E731
    watched = plain.learner("mlp-small", start)
    watched.optimizer.before.append(lambda: None)
    slower = plain.learner("mlp-small", start)
    slower.scale_lr(0.5)
    assert plain.learner("mlp-small", start).fit(given, 1, seed, other)
    assert watched.fit(given, 1, seed) and slower.fit(given, 1, seed)
    assert plain.learner("mlp-small", start).fit(given, 1, seed, steps=2)
    assert plain.learner("mlp-small", start).fit(given, 0, seed) == []
    assert len(handed) == 2


def test_fleets_that_meet_are_trained_as_one_and_those_that_differ_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    stacked = fleet._stacked
    monkeypatch.setattr(fleet, "_stacked", lambda *given: sizes.append(len(given[2])) or stacked(*given))
    config = TrainingConfig().model_copy(update={"batch_size": 8})
    plain = Workbench(lambda n, s: build(n, (6,), 3, "softmax", s[0], *s[1]), config)
    start = plain.initial("mlp-small", (0, ("start",)))

    def members(number: int, first: int, rows: int) -> list[Member]:
        return [Member(start, records(first + i, rows), (first + i, ("fit",))) for i in range(number)]

    def loss(logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels)

    groups = [members(2, 0, 21), members(3, 10, 21), members(2, 20, 13)]
    found = answered([Fleet(plain, "mlp-small", one, 2, loss) for one in groups])
    assert sizes == [5, 2]
    for mine, theirs in zip(groups, found, strict=True):
        alone = train_fleet(plain, "mlp-small", mine, 2, loss, stacked=False)
        torch.testing.assert_close(theirs, alone, rtol=1e-3, atol=1e-5)
    handed: list[object] = []
    beside = plain.beside(Abreast(lambda asked: handed.append(asked) or answered([asked])[0]))
    torch.testing.assert_close(train_fleet(beside, "mlp-small", groups[0], 2, loss), found[0], rtol=1e-5, atol=1e-7)
    wild = [
        Member(start, Records(np.full((21, 6), np.inf, dtype=np.float32), one.records.y), one.seed) for one in groups[0]
    ]
    told = answered([Fleet(plain, "mlp-small", one, 2, loss) for one in (wild, groups[1])])
    assert len(handed) == 1 and isinstance(told[0], Diverged) and len(told[1]) == 3
