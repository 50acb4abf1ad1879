"""Published pages and tables as data: which protocols they choose, under which names."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from importlib import resources
from typing import Any

from fedprivacy.config.base import UsageError, near_misses


def table(name: str) -> dict[str, Any]:
    """The content of ``NAME.toml`` beside this file."""
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def no_row(recipe: str, unknown: Sequence[str], known: Collection[str], number: int) -> UsageError:
    """What to say of words that name none of the ``number`` rows of ``recipe``; ``known``: what a word may be."""
    near = list(dict.fromkeys(name for word in unknown for name in near_misses(word, known)))
    hint = f" Did you mean {_either([repr(name) for name in near])}?" if near else ""
    words = _either([repr(word) for word in unknown])
    everything = f"`fedprivacy list recipes {recipe}` shows all {number} rows"
    return UsageError(f"--rows: no row of {recipe} holds {words}.{hint} {everything}.")


def _either(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} or {last}" if rest else last
