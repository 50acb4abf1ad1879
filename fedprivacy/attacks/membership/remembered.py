"""What many statistics derive from the same observation is derived once, and forgotten with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

Of = TypeVar("Of")
More = ParamSpec("More")
Made = TypeVar("Made")


def remembered(make: Callable[Concatenate[Of, More], Made]) -> Callable[Concatenate[Of, More], Made]:
    """``make(observation, ...)`` once for each observation and further arguments, as long as the observation lives.

    An observation is known by its identity, arrays among the further arguments by their content. What is made is
    shared, so nobody may write to it.
    """
    known: WeakKeyDictionary[Of, dict[Any, Made]] = WeakKeyDictionary()

    @wraps(make)
    def once(observation: Of, /, *args: More.args, **kwargs: More.kwargs) -> Made:
        found = known.setdefault(observation, {})
        key = (*map(_content, args), *((name, _content(value)) for name, value in sorted(kwargs.items())))
        if key in found:
            return found[key]
        made = make(observation, *args, **kwargs)
        if made is not observation:  # Its own key would keep it alive.
            found[key] = made
        return made

    return once


def _content(value: Any) -> Any:
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
