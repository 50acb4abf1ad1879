"""The records that the settings of data name, kept for the next job of this process until their files change."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path

from fedprivacy.config.run import DataConfig
from fedprivacy.data.records import Dataset
from fedprivacy.data.sources import load
from fedprivacy.recording.game import read_game
from fedprivacy.study import recorded


def dataset_of(data: DataConfig) -> Dataset:
    """The data set. UsageError where it cannot be read."""
    recording, place = recorded.folder_of(data.dataset), data.data_dir
    if recording is not None:
        return read_game(recording).dataset
    return _read(data.model_dump_json(), () if place is None else _stamp(Path(place).expanduser()))


@lru_cache(maxsize=2)
def _read(text: str, stamp: tuple[tuple[str, int, int, int], ...]) -> Dataset:
    return load(DataConfig.model_validate_json(text))


def _stamp(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, inode, size and time of a file, or of every file in a folder."""
    files = [path] if not path.is_dir() else (Path(place, name) for place, _, names in os.walk(path) for name in names)
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            state = file.stat()
            found.append((str(file), state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))
