"""One-run audits from scores: who is guessed, and how the number of guesses is chosen without cheating.

The ceil(r/2) largest scores are guessed "in" and the floor(r/2) smallest "out". r is fixed beforehand, or the best of
a fixed grid at a corrected level, or chosen on one random half of the canaries and used on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.epsilon.bound import ASSUMPTIONS, Curve, EpsilonBound, check_audit
from fedprivacy.metrics.epsilon.one_run import one_run_bound
from fedprivacy.metrics.epsilon.one_run_gaussian import one_run_gaussian_bound
from fedprivacy.metrics.scores import Bool, Float, as_coins, as_scores

GRID = (10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class OneRunTest:
    """A bound from v right of r guesses on m canaries, ``bound(m, r, v, delta, error)``, and what it assumes."""

    name: str
    assumption: str
    bound: Callable[[int, int, int, float, float], float]


TESTS: dict[Curve, OneRunTest] = {
    "dp": OneRunTest("one run", ASSUMPTIONS["dp"], one_run_bound),
    "gaussian": OneRunTest("one run, Gaussian DP", ASSUMPTIONS["gaussian"], one_run_gaussian_bound),
}


def correct_guesses(scores: ArrayLike, coins: ArrayLike, guesses: Sequence[int], rng: np.random.Generator) -> list[int]:
    """How many of r guesses are right, for each r of ``guesses``.

    ``scores`` [m], higher says in, ``coins`` [m], True: in. Ties are broken by ``rng``: the order of the candidates
    must not decide, for it may be the order of the coins. Raises ValueError on NaN or unless 0 <= r <= m.
    """
    checked, included = _canaries(scores, coins)
    if min(guesses) < 0 or max(guesses) > checked.size:
        raise ValueError(f"guesses must lie in 0 .. {checked.size}, got {list(guesses)}.")
    shuffled = rng.permutation(checked.size)
    return _correct(included[shuffled[np.argsort(checked[shuffled], kind="stable")]], guesses)


def one_run_from_scores(
    scores: ArrayLike,
    coins: ArrayLike,
    *,
    delta: float,
    rng: np.random.Generator,
    guesses: int | Sequence[int] = GRID,
    level: float = 0.95,
    curve: Curve | OneRunTest = "dp",
) -> EpsilonBound:
    """Bound from ``scores`` [m] of canaries and their ``coins`` [m] (fair and independent; True: in).

    ``guesses`` is one r fixed beforehand, or a grid, of which the best bound is reported with each at error
    (1 - level) / n. Grid entries above m are left out, which m alone decides; if none remains, r = m. ``rng`` breaks
    ties. ``curve``: what the guesses are held against. Raises ValueError on NaN, on a single r above m, and on a bad
    level or delta.
    """
    test = TESTS[curve] if isinstance(curve, str) else curve
    error = check_audit(level, delta)
    checked, included = _canaries(scores, coins)
    grid = _usable(guesses, checked.size)
    right = correct_guesses(checked, included, grid, rng)
    low, ceiling, best = _best(checked.size, grid, right, delta, error / len(grid), test)
    return EpsilonBound(
        low=low,
        ceiling=ceiling,
        method=f"{test.name}, " + ("guesses fixed" if len(grid) == 1 else f"best of {len(grid)} guess counts"),
        level=level,
        delta=delta,
        assumption=test.assumption,
        detail={"m": checked.size, "r": grid[best], "v": right[best], "tests": len(grid)},
    )


def one_run_split(
    scores: ArrayLike,
    coins: ArrayLike,
    *,
    delta: float,
    rng: np.random.Generator,
    guesses: Sequence[int] = GRID,
    level: float = 0.95,
    curve: Curve | OneRunTest = "dp",
) -> EpsilonBound:
    """Bound on a random half of the canaries, with the r of ``guesses`` that did best on the other half.

    The other half counts as fixed data, so m is the size of the half that is judged. Raises as
    :func:`one_run_from_scores`, and on fewer than two canaries.
    """
    test = TESTS[curve] if isinstance(curve, str) else curve
    error = check_audit(level, delta)
    checked, included = _canaries(scores, coins)
    if checked.size < 2:
        raise ValueError("a split needs two canaries.")
    order = rng.permutation(checked.size)
    half = checked.size // 2
    grid = _usable(guesses, half)
    tried = correct_guesses(checked[order[:half]], included[order[:half]], grid, rng)
    chosen = grid[_best(half, grid, tried, delta, error, test)[2]]
    rest, judged = checked.size - half, order[half:]
    right = correct_guesses(checked[judged], included[judged], [chosen], rng)
    low = _best(rest, [chosen], right, delta, error, test)[0]
    # A perfect attack would have chosen its best entry, whatever this one chose.
    ceiling = _best(rest, grid, grid, delta, error, test)[1]
    return EpsilonBound(
        low=low,
        ceiling=ceiling,
        method=f"{test.name}, guesses from the other half",
        level=level,
        delta=delta,
        assumption=test.assumption,
        detail={"m": rest, "r": chosen, "v": right[0]},
    )


def _canaries(scores: ArrayLike, coins: ArrayLike) -> tuple[Float, Bool]:
    checked = as_scores(scores)
    return checked, as_coins(coins, checked.shape)


def _correct(ordered: Bool, guesses: Sequence[int]) -> list[int]:
    """Right guesses for coins ``ordered`` by rising score."""
    inside = np.concatenate([[0], np.cumsum(ordered[::-1])])
    outside = np.concatenate([[0], np.cumsum(~ordered)])
    return [int(inside[(r + 1) // 2] + outside[r // 2]) for r in guesses]


def _usable(guesses: int | Sequence[int], m: int) -> list[int]:
    return [guesses] if isinstance(guesses, int) else [r for r in guesses if r <= m] or [m]


def _best(
    m: int, grid: Sequence[int], right: Sequence[int], delta: float, error: float, test: OneRunTest
) -> tuple[float, float, int]:
    """The largest bound over ``grid``, the largest a perfect attack could have got, and where the first was."""
    lows = [test.bound(m, r, v, delta, error) for r, v in zip(grid, right, strict=True)]
    low = max(lows)
    return low, max(test.bound(m, r, r, delta, error) for r in grid), lows.index(low)
