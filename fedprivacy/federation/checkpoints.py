"""Checkpoints: the state of a federation after a round, and how far its log reached then.

A checkpoint holds the state alone, each tensor once however many parties have it; what came before lies in the log,
which is only ever appended to. Not every round needs one: whatever a kill loses is computed again, bit for bit.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from fedprivacy import folder
from fedprivacy.federation.environment import FederationState
from fedprivacy.folder import Damaged
from fedprivacy.wire.codec import unshared
from fedprivacy.wire.log import Position

FORMAT = 2

KEPT = 3
"""Checkpoints kept: the last, and the two before it, from which the last round or two can be played again."""

SHARE = 0.025
"""Part of a federation's cpu that checkpoints may take, beside ``ALLOWANCE`` and the last :data:`KEPT` of them."""

ALLOWANCE = 0.5
"""Cpu-seconds that are always granted, so that short federations have a checkpoint after each round."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a federation goes on from."""

    state: FederationState
    position: Position


class Pace:
    """Decides, by the cpu that rounds and checkpoints took so far, whether another checkpoint is worth its cost."""

    def __init__(self) -> None:
        self._start, self._spent, self._last = time.process_time(), 0.0, 0.0

    def allows(self) -> bool:
        """Whether one more at the cost of the last one stays within bounds."""
        return self._spent + self._last <= ALLOWANCE + SHARE * (time.process_time() - self._start)

    def save(self, where: Path, checkpoint: Checkpoint) -> None:
        """:func:`save`, on the clock."""
        begun = time.process_time()
        save(where, checkpoint)
        self._last = time.process_time() - begun
        self._spent += self._last


def save(where: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to the folder ``where``, which then holds the last :data:`KEPT`.

    The oldest goes first: a kill in between leaves one too few, and the next checkpoint makes up for it.
    """
    stored: dict[str, Tensor] = {}
    names: dict[int, str] = {}
    parts: dict[str, dict[str, str]] = {}
    for part, content in checkpoint.state.parts.items():
        parts[part] = {}
        for name, tensor in content.items():
            key = names.setdefault(id(tensor), str(len(names)))
            stored[key] = tensor
            parts[part][name] = key
    header = {
        "format": FORMAT,
        "round": checkpoint.state.round,
        "parts": [[part, list(content.items())] for part, content in parts.items()],
        "position": asdict(checkpoint.position),
    }
    data = safetensors.torch.save(unshared(stored), {"header": folder.header_text(header)})
    path = where / _name(checkpoint.state.round)
    for old in [file for file in _files(where) if file != path][: -(KEPT - 1)]:
        old.unlink(missing_ok=True)
    folder.write_bytes(path, folder.sealed(data))


def load(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises :class:`~fedprivacy.folder.Damaged`."""
    data = folder.read_bytes(path, folder.LARGEST_ARRAYS)
    header = folder.unsealed(data, path)
    if header.get("format") != FORMAT:
        raise Damaged(f"{path} has checkpoint format {header.get('format')!r}; this version reads {FORMAT}")
    try:
        stored = safetensors.torch.load(data)
        parts = {part: {name: stored[key] for name, key in content} for part, content in header["parts"]}
        return Checkpoint(FederationState(int(header["round"]), parts), _position(header["position"]))
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise Damaged(f"{path} is no checkpoint: {error}") from None


def latest(where: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder, or None."""
    files = _files(where)
    return load(files[-1]) if files else None


def of_round(where: Path, round: int) -> Checkpoint:
    """The checkpoint after a round. Raises :class:`~fedprivacy.folder.Damaged` where there is none."""
    return load(where / _name(round))


def newest_until(where: Path, round: int) -> Checkpoint | None:
    """The newest checkpoint after at most ``round`` rounds, or None."""
    files = [file for file in _files(where) if file.name <= _name(round)]
    return load(files[-1]) if files else None


def last_round(where: Path) -> int | None:
    """Round of the newest checkpoint in a folder; None before the start."""
    files = _files(where)
    return int(files[-1].name[6:11]) if files else None


def _files(where: Path) -> list[Path]:
    return sorted(file for file in where.glob("round-*.safetensors") if re.fullmatch(r"round-\d{5}", file.stem))


def _name(round: int) -> str:
    return f"round-{round:05d}.safetensors"


def _position(content: dict[str, Any]) -> Position:
    found = Position(int(content["lines"]), int(content["contents"]), str(content["seal"]))
    if min(found.lines, found.contents) < 0:
        raise ValueError("a log reaches no less far than its beginning")
    return found
