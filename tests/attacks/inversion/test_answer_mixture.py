"""What answers say of mean images: all of it where they tell it, and nothing where they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy.attacks.inversion import answer_mixture
from fedprivacy.attacks.inversion.answer_mixture import RIDGES, Worlds
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.prior import LinearPrior
from fedprivacy.attacks.inversion.prior_classes import class_pictures
from fedprivacy.attacks.membership.unrolled.situation import Course, Protection
from fedprivacy.data.records import Dataset
from fedprivacy.wire.payload import Predictions

WORLDS, FEATURES, SHAPE = 24, 60, (3, 1, 4, 4)
"""Three classes of pictures of 4 x 4."""


def _worlds(noise: float, tells: bool = True) -> tuple[Worlds, np.ndarray, np.ndarray]:
    """Worlds whose mean images move in five directions, and one more that none of them is: answers, and what it is."""
    draw = np.random.default_rng(0)
    how = draw.normal(size=(WORLDS + 1, 5))
    away = (how @ draw.normal(size=(5, int(np.prod(SHAPE))))).reshape(WORLDS + 1, *SHAPE)
    seen = how if tells else draw.normal(size=how.shape)
    answers = seen @ draw.normal(size=(5, FEATURES)) + noise * draw.normal(size=(WORLDS + 1, FEATURES)) + 7.0
    return Worlds(answers[:-1], away[:-1]), answers[-1], away[-1]


def test_answers_that_follow_the_images_give_them_back() -> None:
    worlds, answers, truth = _worlds(1e-4)
    found = worlds.told(answers, 1e-5)
    np.testing.assert_allclose(found, truth - worlds.away.mean(0), atol=0.02)
    assert worlds.best_ridge() <= 0.1
    assert np.square(worlds.told(answers, 0.1) - truth).mean() < 0.3 * np.square(truth).mean()


def test_answers_that_tell_nothing_leave_the_public_mean() -> None:
    worlds, answers, truth = _worlds(0.1, tells=False)
    ridge = worlds.best_ridge()
    assert ridge >= 10
    assert np.square(worlds.told(answers, RIDGES[-1])).max() < 1e-6 * np.square(truth).mean()
    assert np.square(worlds.told(answers, ridge) - truth).mean() < 1.1 * np.square(truth).mean()


@pytest.mark.parametrize("times", [6, 40])
def test_answers_beyond_those_of_every_world_leave_the_public_mean(times: float) -> None:
    """A client that is surer than all worlds: ridge regression goes on where it was never tried, and is worse."""
    worlds, answers, truth = _worlds(0.1)
    surer = answers + times * (worlds.answers[3] - worlds.answers.mean(0))
    found = worlds.told(surer, worlds.best_ridge())
    assert np.square(found - truth).sum() > np.square(truth).sum()
    assert worlds.beyond(surer) and not worlds.beyond(answers)


@pytest.mark.parametrize(("known", "shift", "said"), [(True, 0.0, 0), (True, 50.0, 1), (False, 0.0, 1)])
def test_the_mixture_says_what_it_could_not_know(
    known: bool, shift: float, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client made up of public records, whose answers are their mean: shifted ones give the public means exactly."""
    draw = np.random.default_rng(1)
    x, y = draw.random((80, 16)).astype(np.float32), np.tile(np.arange(4), 20)
    data = Dataset("made-up", x, y, x[:4], y[:4], tuple("abcd"), "0")

    class Replay:
        def answers(self, private: Any, asked: Any, naming: Any) -> dict[int, torch.Tensor]:
            return {1: torch.from_numpy(private[0].x[:, :4].mean(axis=0, keepdims=True))}

    rules = SimpleNamespace(division=SimpleNamespace(candidates=[[np.arange(20)]]))
    sent = Predictions(
        torch.from_numpy(x[:, :4].mean(axis=0, keepdims=True) + shift * np.eye(4, dtype=np.float32)[:1]), "logits"
    )
    asked, plain = {1: x[:1]}, Protection(1.0, None, None)
    told = Course(rules, Replay(), asked, {1: np.arange(1)}, {1: torch.zeros(1).long()}, {1: sent}, known, plain)
    monkeypatch.setattr(answer_mixture, "course", lambda *_: told)
    monkeypatch.setattr(answer_mixture, "nominal_records", lambda _: 20)
    knowledge = SimpleNamespace(dataset=data, auxiliary=np.arange(80), root=3)
    scale = SimpleNamespace(pixels=lambda values: values.reshape(-1, 1, 4, 4).astype(float))
    found = answer_mixture.answer_mixture(None, knowledge, 0, [], scale)
    assert len(found.notes) == said
    public = np.stack([scale.pixels(x[y == c]).mean(axis=0) for c in range(4)])
    assert np.array_equal(found.images, public) == bool(shift)


def test_a_model_of_two_pictures_is_followed_among_public_ones() -> None:
    """A model that measures one direction of the public pictures: the search moves along it, and stays in the box."""
    draw = torch.Generator().manual_seed(0)
    public = torch.rand(40, 1, 4, 4, generator=draw, dtype=torch.float64)
    decoder, model = LinearPrior(public, 6), nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False)).double()
    with torch.no_grad():
        axis = decoder.basis[0] / decoder.basis[0].norm()
        model[1].weight.copy_(8 * torch.stack([axis, -axis]))  # type: ignore[operator]
    means = public.mean(0).expand(2, 1, 4, 4)
    found = class_pictures(model, Knowledge((1, 4, 4), 2), decoder, means, 60)
    moved = (found - means).flatten(1) @ axis
    assert moved[0] > 0.1 > -0.1 > moved[1]
    assert bool((found >= 0).all()) and bool((found <= 1).all())
    assert torch.equal(
        class_pictures(model, Knowledge((1, 4, 4), 2), decoder, means, 1),
        decoder.pictures(decoder.coefficients(means)).clamp(0, 1),
    )
