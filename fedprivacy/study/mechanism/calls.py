"""Calling a mechanism: the same two inputs again and again in an order that is drawn, every output one row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.scores import Float

Mechanism = Callable[[Any], Any]
"""Arrays to noised arrays: one array, or several in a list, tuple or mapping; of numpy or anything it can read."""

MOST_NUMBERS = 50_000_000
"""Of all kept outputs together: 400 MB."""


def flat(content: Any, what: str) -> Float:
    """Arrays one after the other as one vector of float64 [d]. Raises UsageError where that is none."""
    parts = [_vector(part, what) for part in _parts(content)]
    found: Float = np.concatenate(parts) if parts else np.empty(0)
    if not found.size:
        raise UsageError(f"{what}: an array of numbers is wanted, and it holds none.")
    if not np.isfinite(found).all():
        raise UsageError(f"{what}: a number in it is not finite.")
    return found


def called(mechanism: Mechanism, name: str, pair: tuple[Any, Any], calls: int, rng: np.random.Generator) -> list[Float]:
    """Outputs [calls // 2, d] on the first and on the second input of ``pair``.

    Every call gets a copy of its input. Raises UsageError where the mechanism fails, or answers in another shape.
    """
    each = calls // 2
    order = rng.permutation(np.repeat([0, 1], each))
    rows: list[Float | None] = [None, None]
    filled = [0, 0]
    for number, side in enumerate(order):
        what = f"--mechanism {name}: answer {number + 1:,}, to the {('first', 'second')[side]} input"
        answer = flat(_answer(mechanism, name, pair[side], number), what)
        if rows[0] is None:
            if 2 * each * answer.size > MOST_NUMBERS:
                raise UsageError(
                    f"--calls: {2 * each:,} answers of {answer.size:,} numbers do not fit; at most "
                    f"{MOST_NUMBERS // answer.size:,} calls, or let the mechanism answer on fewer numbers."
                )
            rows = [np.empty((each, answer.size)), np.empty((each, answer.size))]
        kept = rows[side]
        assert kept is not None
        if answer.size != kept.shape[1]:
            raise UsageError(f"{what}: {answer.size:,} numbers, where an earlier one had {kept.shape[1]:,}.")
        kept[filled[side]] = answer
        filled[side] += 1
    return [kept for kept in rows if kept is not None]


def _answer(mechanism: Mechanism, name: str, given: Any, number: int) -> Any:
    try:
        return mechanism(copy.deepcopy(given))
    except UsageError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200] or "no message"
        raise UsageError(f"--mechanism {name}: call {number + 1:,} failed: {type(error).__name__}: {words}.") from error


def _parts(content: Any) -> Iterator[Any]:
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list | tuple) and not all(isinstance(part, int | float) for part in content):
        for part in content:
            yield from _parts(part)
    else:
        yield content


def _vector(part: Any, what: str) -> Float:
    # A tensor of half precision is no array of numpy's before it is widened.
    if hasattr(part, "detach"):
        part = part.detach().cpu().double().numpy()
    try:
        return np.asarray(part, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise UsageError(f"{what}: an array of numbers is wanted, not {type(part).__name__}.") from None
