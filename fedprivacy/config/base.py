"""The strict, frozen base of every configuration part, and the error that a user reads in one line."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

NONE = "none"
"""How a settings file says that a setting is None, where it does not stand for a default of None."""

PartT = TypeVar("PartT", bound="Part")


class UsageError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what would be right."""


class Interrupted(UsageError):
    """The user stopped the run: one line that says how to go on."""


class Part(BaseModel):
    """A frozen part of the configuration: unknown keys, silent conversions, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _none(cls, values: Any) -> Any:
        """``"none"`` is nothing where nothing is allowed and no text is: settings files have no other word for it."""
        if not isinstance(values, dict):
            return values
        return {name: None if value == NONE and cls._may_be_none(name) else value for name, value in values.items()}

    @classmethod
    def _may_be_none(cls, name: str) -> bool:
        kinds = typing.get_args(cls.model_fields[name].annotation) if name in cls.model_fields else ()
        return type(None) in kinds and str not in kinds


def near_miss(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for a close match, else the list of what exists."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else "Known: " + ", ".join(names) + "."


def near_misses(words: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Up to ``most`` of ``known``, the nearest to ``words`` first: word by word, each with its closest there.

    What shares on average less than 70% of each word with it is left out.
    """

    def alike(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other).ratio()

    asked, found = re.findall(r"\w+", words.lower()), []
    for place, name in enumerate(dict.fromkeys(known)):
        own = re.findall(r"\w+", name.lower())
        near = sum(max((alike(word, other) for other in own), default=0.0) for word in asked) / max(1, len(asked))
        if near >= 0.7:
            found.append((-near, -alike(words.lower(), name.lower()), place, name))
    return [name for *_, name in sorted(found)[:most]]


def build(part: type[PartT], values: dict[str, Any], where: str) -> PartT:
    """Validate ``values`` into ``part``; the first problem becomes one :class:`UsageError` naming ``where``."""
    try:
        return part.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            owner: Any = part
            for step in problem["loc"][:-1]:
                owner = owner.model_fields[str(step)].annotation
            hint = near_miss(str(problem["loc"][-1]), owner.model_fields)
            raise UsageError(f"{where}: no setting '{path}' exists. {hint}") from None
        message = problem["msg"].removeprefix("Value error, ")
        got = "" if problem["type"] == "value_error" else f" (got {problem['input']!r})"
        raise UsageError(f"{where}: {path + ': ' if path else ''}{message}{got}.") from None
