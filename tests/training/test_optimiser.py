"""Fused steps against torch's own optimisers, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedprivacy.config.run import TrainingConfig
from fedprivacy.training.optimiser import Optimiser, optimizer_over

SHAPES = ((5, 3), (3,), (4, 2, 2))
SETTINGS = [
    {"optimizer": "adam", "adam_eps_form": form, "weight_decay": decay}
    for form in ("torch", "keras")
    for decay in (0, 0.1)
] + [{"optimizer": "sgd", "momentum": momentum, "weight_decay": decay} for momentum in (0, 0.9) for decay in (0, 0.1)]


def tensors(seed: int, dtype: torch.dtype) -> list[Tensor]:
    made = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=made, dtype=dtype) for shape in SHAPES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_steps_and_state_are_those_of_torch(settings: dict[str, object], dtype: torch.dtype) -> None:
    config = TrainingConfig.model_validate(settings)
    ours, theirs = tensors(0, dtype), [t.requires_grad_() for t in tensors(0, dtype)]
    made, reference = Optimiser(ours, config), optimizer_over(theirs, config)
    for number in range(6):
        if number == 3:
            made = Optimiser(ours, config, made.moments())
            made.lr = reference.param_groups[0]["lr"] = 0.5 * config.lr
        gradients = tensors(10 + number, dtype)
        gradients[0] = gradients[0].t().contiguous().t()
        made.apply(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.contiguous()
        reference.step()
        assert all(map(torch.equal, ours, theirs))
    state = reference.state_dict()["state"]
    told = {f"{i}.{slot}": value for i, slots in state.items() for slot, value in slots.items() if value is not None}
    assert list(told) == list(made.moments())
    assert all(torch.equal(value, told[name]) for name, value in made.moments().items())


@pytest.mark.parametrize("settings", SETTINGS[::2], ids=str)
def test_a_parameter_without_a_gradient_stays_and_joins_later(settings: dict[str, object]) -> None:
    config = TrainingConfig.model_validate(settings)
    ours, start = tensors(0, torch.float32), tensors(0, torch.float32)
    made, seen = Optimiser(ours, config), list[str]()
    made.before.append(lambda: seen.append("before"))
    made.after.append(lambda: seen.append("after"))
    first, *rest = tensors(1, torch.float32)
    made.apply([None, *rest])
    assert torch.equal(ours[0], start[0]) and not torch.equal(ours[1], start[1])
    assert not any(name.startswith("0.") for name in made.moments())
    alone = Optimiser([start[0]], config.model_copy(update={"adam_eps_form": "torch"}))
    alone.apply([first])
    made.apply([first, None, None])
    if config.adam_eps_form == "torch" or config.optimizer == "sgd":
        assert torch.equal(ours[0], start[0])
    assert seen == ["before", "after"] * 2


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_moments_lie_as_their_parameters_do(settings: dict[str, object]) -> None:
    """A parameter that lies column by column goes on from moments that were kept row by row."""
    config = TrainingConfig.model_validate(settings)
    plain, turned = tensors(0, torch.float64), tensors(0, torch.float64)
    turned[0] = turned[0].t().contiguous().t()
    ours, theirs = Optimiser(turned, config), Optimiser(plain, config)
    for number in range(4):
        if number == 2:
            ours, theirs = Optimiser(turned, config, ours.moments()), Optimiser(plain, config, theirs.moments())
        for one in (ours, theirs):
            one.apply(tensors(10 + number, torch.float64))
    for one, other in zip(turned, plain, strict=True):
        assert torch.equal(one, other)


def test_counts_of_steps_are_each_parameters_own() -> None:
    """One that has no gradient in some steps counts fewer, as torch counts."""
    config = TrainingConfig()
    ours, theirs = tensors(0, torch.float64), [t.requires_grad_() for t in tensors(0, torch.float64)]
    made, reference = Optimiser(ours, config), optimizer_over(theirs, config)
    for number, left_out in enumerate((None, 1, None, 0)):
        gradients = [None if i == left_out else g for i, g in enumerate(tensors(10 + number, torch.float64))]
        made.apply(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        reference.step()
    assert [float(made.moments()[f"{i}.step"]) for i in range(3)] == [3, 3, 4]
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
