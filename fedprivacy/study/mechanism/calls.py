"""Calling a mechanism: the same two inputs again and again in an order that is drawn, every output one row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.scores import Bool, Float

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
    order = rng.permutation(np.repeat([False, True], each))
    rows = Caller(mechanism, name, pair, 2 * each).rows(order)
    return [rows[~order], rows[order]]


class Caller:
    """A mechanism that is called at most ``calls`` times on a ``pair`` of inputs."""

    def __init__(self, mechanism: Mechanism, name: str, pair: tuple[Any, Any], calls: int) -> None:
        self._mechanism, self._name, self._pair, self._calls = mechanism, name, pair, calls
        self._size = 0
        self.made = 0

    def rows(self, second: Bool) -> Float:
        """Outputs [n, d], one a call: on the second input where ``second`` [n] says so, else on the first."""
        kept: Float | None = None
        for place, side in enumerate(map(bool, second)):
            what = f"--mechanism {self._name}: answer {self.made + 1:,}, to the {('first', 'second')[side]} input"
            answer = flat(_answer(self._mechanism, self._name, self._pair[side], self.made), what)
            self.made += 1
            self._held(answer.size, what)
            kept = np.empty((len(second), answer.size)) if kept is None else kept
            kept[place] = answer
        return np.empty((0, self._size)) if kept is None else kept

    def _held(self, size: int, what: str) -> None:
        if not self._size:
            if self._calls * size > MOST_NUMBERS:
                raise UsageError(
                    f"--calls: {self._calls:,} answers of {size:,} numbers do not fit; at most "
                    f"{MOST_NUMBERS // size:,} calls, or let the mechanism answer on fewer numbers."
                )
            self._size = size
        if size != self._size:
            raise UsageError(f"{what}: {size:,} numbers, where an earlier one had {self._size:,}.")


def _answer(mechanism: Mechanism, name: str, given: Any, number: int) -> Any:
    try:
        return mechanism(copy.deepcopy(given))
    except UsageError:
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # a mechanism that ends the process would end it with an exit code of its own
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
    if part is None:  # which numpy takes for a number that is none
        raise UsageError(f"{what}: an array of numbers is wanted, not None.")
    # A tensor of half precision is no array of numpy's before it is widened.
    if hasattr(part, "detach"):
        part = part.detach().cpu().double().numpy()
    try:
        return np.asarray(part, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise UsageError(f"{what}: an array of numbers is wanted, not {type(part).__name__}.") from None
