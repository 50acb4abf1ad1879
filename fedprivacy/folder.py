"""Files that survive a kill: written under a temporary name, then renamed. Nothing here can execute what it reads."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Readable JSON with a final newline; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any] | None = None) -> None:
    """Named arrays with a JSON header, as safetensors."""
    metadata = {"header": json.dumps(header or {}, sort_keys=True)}
    write_bytes(path, safetensors.numpy.save({n: np.ascontiguousarray(a) for n, a in arrays.items()}, metadata))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the header that :func:`write_arrays` wrote."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return dict(safetensors.numpy.load(data)), json.loads(metadata.get("header", "{}"))


class FolderStore:
    """Encoded messages as files named by their digest, so that a broadcast is stored once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest[:32]}.safetensors"

    def put(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        if not path.exists():
            write_bytes(path, data)

    def get(self, digest: str) -> bytes:
        return self._path(digest).read_bytes()
