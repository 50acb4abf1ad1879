"""A public prior: what public records span comes out of what several steps of Adam send, and a stranger's does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.best import BestSettings, attacks_for, best_of
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.gradients import frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge
from fedprivacy.attacks.inversion.prior import LinearPrior, PriorSettings, prior
from fedprivacy.attacks.inversion.unroll import UnrollSettings, UpdateMap

SHAPE, CLASSES = (1, 8, 8), 4
LIKE = torch.zeros(1, dtype=torch.float64)
CARD = Knowledge(
    SHAPE, CLASSES, shared="update", records=2, epochs=4, lr=0.01, adam=Adam(), public_images=40, labels="recovered"
)
SGD = replace(CARD, adam=None, lr=0.1)
Sent = Callable[[nn.Module, Knowledge, Tensor], dict[str, Tensor]]
LABELS = torch.tensor([0, 2])
SETTINGS = PriorSettings(width=6, restarts=1, refine=CosineSettings(iterations=120, tv=(0.001,)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relu_net(width: int) -> nn.Module:
    """A hidden layer of ReLUs; weights uniform in (-0.5, 0.5)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, CLASSES)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator(5), dtype=torch.float64) - 0.5)
    return model


@pytest.fixture
def public() -> tuple[Tensor, Tensor]:
    """Forty records of four classes that six directions span."""
    basis = torch.rand(6, 64, generator=generator(1), dtype=torch.float64) - 0.5
    centres = torch.randn(CLASSES, 6, generator=generator(2), dtype=torch.float64) * 0.3
    labels = torch.arange(40) % CLASSES
    u = centres[labels] + 0.3 * torch.randn(40, 6, generator=generator(3), dtype=torch.float64)
    return (0.5 + u @ basis).clamp(0, 1).unflatten(1, SHAPE), labels


@pytest.fixture
def message() -> Sent:
    """The update that the card's training makes of two records."""

    def sent(model: nn.Module, card: Knowledge, records: Tensor) -> dict[str, Tensor]:
        twin = frozen_copy(model, {}, card, LIKE)
        change = UpdateMap(twin, card).gradients(
            records[None], one_hot(LABELS[: len(records)], CLASSES, torch.float64)[None]
        )[0]
        pieces = change.split([value.numel() for value in model.state_dict().values()])
        return {n: -(card.lr or 1.0) * p.view_as(v) for (n, v), p in zip(model.named_parameters(), pieces, strict=True)}

    return sent


def sigmoid_net() -> nn.Module:
    """A hidden layer of sigmoids; weights uniform in (-0.5, 0.5)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Sigmoid(), nn.Linear(24, CLASSES)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator(5), dtype=torch.float64) - 0.5)
    return model


def psnr(found: Tensor, truth: Tensor) -> float:
    return float(-10 * (found.double() - truth).square().mean().log10())


def test_coefficients_are_white_and_go_both_ways(public: tuple[Tensor, Tensor]) -> None:
    decoder = LinearPrior(public[0], 64)
    u = decoder.coefficients(public[0])
    torch.testing.assert_close(u.var(0, correction=0), torch.ones(u.shape[1], dtype=torch.float64))
    torch.testing.assert_close(decoder.pictures(u), public[0])
    some = torch.randn(3, len(decoder.basis), generator=generator(), dtype=torch.float64)
    slope = torch.randn(3, *SHAPE, generator=generator(), dtype=torch.float64)
    inner = ((decoder.pictures(some) - decoder.pictures(0 * some)) * slope).sum()
    torch.testing.assert_close(inner, (decoder.adjoint(slope) * some).sum())
    assert len(LinearPrior(public[0][:3], 64).basis) == 2


@pytest.mark.parametrize(("card", "best_guess", "margin"), [(SGD, "nearest", 10), (CARD, "class mean", 3)])
def test_records_come_out_and_a_strangers_do_not(
    card: Knowledge, best_guess: str, margin: float, public: tuple[Tensor, Tensor], message: Sent
) -> None:
    """Four steps of SGD give them away beyond every public record, of Adam beyond the class mean."""
    model = relu_net(24)
    truth, other, known, marks = public[0][[0, 2]], public[0][[4, 6]], public[0][8:], public[1][8:]
    sent = [message(model, card, records) for records in (truth, other)]
    found = prior(model, {}, sent, card, LABELS.repeat(2, 1), (known, marks), generator(), SETTINGS)
    guesses = []
    for label, record in zip(LABELS, truth, strict=True):
        own = known[marks == label]
        nearest, middle = (own - record).flatten(1).square().mean(1).min(), (own.mean(0) - record).square().mean()
        guesses.append(nearest if best_guess == "nearest" else middle)
    assert psnr(found.images[0], truth) > float(-10 * torch.stack(guesses).mean().log10()) + 1
    assert psnr(found.images[0], truth) > psnr(found.images[1], truth) + margin


def test_the_prior_is_tried_where_there_are_public_records_and_labels() -> None:
    mlp = relu_net(8)
    assert attacks_for(mlp, CARD) == ("prior",)
    none = Knowledge(SHAPE, CLASSES, shared="update", records=2, epochs=4, lr=0.01, adam=Adam())
    assert attacks_for(mlp, none) == ("local-steps",)
    sgd = Knowledge(SHAPE, CLASSES, shared="update", records=2, epochs=4, lr=0.01, public_images=40)
    assert attacks_for(mlp, sgd) == ("spear", "local-steps", "prior")
    joint = Knowledge(SHAPE, CLASSES, shared="update", records=2, lr=0.01, public_images=40, labels="joint")
    assert "prior" not in attacks_for(mlp, joint)


def test_the_choice_among_attacks_hands_it_the_public_records(public: tuple[Tensor, Tensor], message: Sent) -> None:
    model = relu_net(8)
    sent, labels = [message(model, CARD, public[0][[0, 2]])], LABELS[None]
    quick = BestSettings(prior=PriorSettings(width=6, refine=CosineSettings(iterations=4)))
    found = best_of(model, {}, sent, CARD, generator(), (public[0][8:], public[1][8:]), quick, ["prior"], labels)
    assert found.chosen == ("prior",) and found.images.shape == (1, 2, *SHAPE)


@pytest.mark.parametrize("owned", [True, False])
def test_one_step_of_adam_on_one_record_is_simulated_with_public_records_and_without(
    owned: bool, public: tuple[Tensor, Tensor], message: Sent
) -> None:
    """The choice is by the attacks' own losses; the direction of a gradient alone leaves the record further off."""
    card = replace(CARD, records=1, epochs=1, public_images=40 if owned else 0, mean=(0.5,), std=(0.25,))
    model, name = sigmoid_net(), "prior" if owned else "local-steps"
    records = [public[0][[0]], public[0][[1]]]
    sent = [message(model, card, (one - 0.5) / 0.25) for one in records]
    quick = CosineSettings(iterations=120, tv=(0.001,))
    settings = BestSettings(cosine=quick, prior=SETTINGS, local_steps=UnrollSettings("signed", signed=quick))
    known = (public[0][8:], public[1][8:]) if owned else None
    attacks = [one for one in attacks_for(model, card) if one != "analytic"]
    assert attacks == ["cosine", name]
    found = best_of(model, {}, sent, card, generator(), known, settings, attacks, LABELS[:1].repeat(2, 1))
    assert found.chosen[0] == name
    direction = found.rows[0].found
    assert direction is not None
    assert psnr(found.images[0], records[0]) > psnr(direction.images[0], records[0])
    assert psnr(found.images[0], records[0]) > psnr(found.images[1], records[0]) + 1
