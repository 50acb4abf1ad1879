"""The files of a recording by name, and how one that is broken or hostile is told. See ``docs/recording.md``.

``game.json`` (who holds which candidates, which records are public, which the adversary owns), ``records.safetensors``,
``transcript/`` (:mod:`fedprivacy.wire.log`), ``start.safetensors`` (the common start, where there is one), and
``truth/``: ``coins.safetensors`` and ``models.safetensors``, which the examiner alone opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fedprivacy import folder
from fedprivacy.config.base import UsageError

FORMAT = "fedprivacy recording 1"
GAME, RECORDS, TRANSCRIPT, START = "game.json", "records.safetensors", "transcript", "start.safetensors"
CARRIER = "carrier.json"
COINS, MODELS, SHADOWS = "truth/coins.safetensors", "truth/models.safetensors", "shadows"
ValueT = TypeVar("ValueT")


@contextmanager
def one_line() -> Iterator[None]:
    """Tell a damaged file as the user's error that it is."""
    try:
        yield
    except folder.Damaged as error:
        raise UsageError(f"{error}.") from None


def is_recording(where: Path) -> bool:
    """Whether a folder is meant as a recording."""
    return (where / GAME).exists()


def entry(content: dict[str, Any], name: str, fits: Callable[[Any], bool], what: str, path: Path) -> Any:
    """An entry of a JSON object. UsageError where it is missing or is not ``what`` it should be."""
    value = content.get(name)
    if not fits(value):
        shown = repr(value)
        raise UsageError(f"{path}: '{name}' is {shown[:40]}{'...' if len(shown) > 40 else ''}, not {what}.")
    return value
