from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedprivacy.attacks.inversion.lbfgs import Evaluate, minimise


def _problems(count: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(count, size, size, generator=generator, dtype=torch.float64)
    hessian = torch.bmm(mix, mix.mT) / size + 0.1 * torch.eye(size, dtype=torch.float64)
    return hessian, torch.randn(count, size, generator=generator, dtype=torch.float64)


def _evaluate(hessian: Tensor, seen: list[Tensor] | None = None) -> Evaluate:
    """Quadratics with a quartic bend, so that curvature changes from point to point."""

    def evaluate(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        product = torch.bmm(hessian[rows], x.unsqueeze(2)).squeeze(2)
        value = 0.5 * (x * product).sum(1) + 0.05 * x.pow(4).sum(1)
        if seen is not None:
            seen.append(value.clone())
        return value, product + 0.2 * x.pow(3)

    return evaluate


def _reference(hessian: Tensor, start: Tensor, outer: int, inner: int, history: int) -> tuple[list[float], Tensor]:
    x = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([x], lr=1, max_iter=inner, history_size=history, tolerance_grad=0, tolerance_change=0)
    values: list[float] = []

    def closure() -> Tensor:
        value, slope = _evaluate(hessian[None])(x.detach()[None], torch.tensor([0]))
        x.grad = slope[0]
        values.append(float(value))
        return value[0]

    for _ in range(outer):
        optimiser.step(closure)
    return values, x.detach()


@pytest.mark.parametrize("history", [1, 4, 100])
def test_equals_torch_on_single_problems(history: int) -> None:
    """Every value at every evaluation, through full memories that forget their oldest pairs."""
    hessian, start = _problems(3, 12)
    seen: list[Tensor] = []
    minimise(_evaluate(hessian, seen), start, 3 * 7, history)
    ours = torch.stack(seen)
    for problem in range(3):
        values, _ = _reference(hessian[problem], start[problem], outer=3, inner=7, history=history)
        torch.testing.assert_close(ours[:, problem], torch.tensor(values).double(), rtol=1e-6, atol=1e-12)


def test_batch_equals_single_runs() -> None:
    hessian, start = _problems(4, 9, seed=5)
    together = minimise(_evaluate(hessian), start, 15, history=6)
    for problem in range(4):
        alone = minimise(_evaluate(hessian[problem : problem + 1]), start[problem : problem + 1], 15, history=6)
        torch.testing.assert_close(together.x[problem], alone.x[0], rtol=1e-9, atol=1e-12)


def test_problems_of_unequal_difficulty_stop_on_their_own() -> None:
    """A problem that is done leaves; the others go on as if it had never been there."""
    hessian, start = _problems(3, 8, seed=2)
    start[1] = 1e-7
    below = torch.full((3,), 1e-9, dtype=torch.float64)
    sizes: list[int] = []

    def counting(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(rows))
        return _evaluate(hessian)(x, rows)

    found = minimise(counting, start, 60, stop_below=below)
    assert sizes[0] == 3 and sizes[1] == 2 and sum(sizes) == found.evaluations < 180
    assert (found.value <= below).all()
    alone = minimise(_evaluate(hessian[2:]), start[2:], 60, stop_below=below[2:])
    torch.testing.assert_close(found.x[2], alone.x[0], rtol=1e-9, atol=1e-12)


def test_lowest_point_is_returned() -> None:
    hessian, start = _problems(2, 6)
    seen: list[Tensor] = []
    found = minimise(_evaluate(hessian, seen), start, 12)
    torch.testing.assert_close(found.value, torch.stack(seen).min(0).values)
    torch.testing.assert_close(_evaluate(hessian)(found.x, torch.arange(2))[0], found.value)


def test_values_that_are_not_finite_fail_their_problem_alone() -> None:
    hessian, start = _problems(3, 6)

    def evaluate(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = _evaluate(hessian)(x, rows)
        return torch.where(rows == 1, torch.nan, value), slope

    found = minimise(evaluate, start, 40)
    assert found.failed.tolist() == [False, True, False]
    assert found.value[[0, 2]].max() < 1e-6


def test_no_iteration_returns_the_start() -> None:
    _, start = _problems(2, 3)
    found = minimise(_evaluate(torch.zeros(2, 3, 3)), start, 0)
    assert torch.equal(found.x, start) and found.evaluations == 0


def test_pairs_in_single_precision_descend_as_fast() -> None:
    """Directions differ by rounding, values and derivatives do not: it still gets far below single precision."""
    hessian, start = _problems(3, 12)
    exact, stored = (minimise(_evaluate(hessian), start, 60, precision=kind) for kind in (None, torch.float32))
    assert stored.x.dtype is torch.float64 and stored.value.max() < 1e-12
    torch.testing.assert_close(stored.value, exact.value, rtol=0.05, atol=1e-30)
