"""One seed of a run: the game, what the target federation left, and the folders of its shadows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedprivacy.study.game import Game


@dataclass(frozen=True, eq=False)
class Repetition:
    """``place`` is the folder of the target federation, ``shadows`` are those of the bank."""

    root: int
    game: Game
    summary: Mapping[str, Any]
    place: Path
    shadows: tuple[Path, ...]
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
