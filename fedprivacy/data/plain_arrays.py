"""The arrays in a .npz file, read within limits: nothing is unpickled, and whatever is no plain array is told."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.data.raw import Array

LARGEST = 16 * 2**30
"""Bytes of all arrays together that are unpacked."""

MOST_ARRAYS = 1000


def plain_arrays(path: Path, expected: str) -> dict[str, Array]:
    """Every array by name. Raises UsageError in one line; ``expected`` says what the file should hold.

    Refused are FIFOs and devices, which would hang or never end; encrypted members and members that are no arrays; and
    files that unpack to more than :data:`LARGEST` bytes.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is not a plain file; expected {expected}.")
            if file.read(6) == b"\x93NUMPY":
                raise UsageError(f"{path} holds a single array, not a .npz file; expected {expected}.")
            _within_limits(zipfile.ZipFile(file), path)
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
    except UsageError:
        raise
    except Exception as error:  # zipfile and numpy raise almost anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in reason or "Object arrays" in reason:
            reason = "it is not a .npz file of plain arrays, and Python objects are never loaded"
        elif isinstance(error, zipfile.BadZipFile):
            reason = f"it is not a .npz file of plain arrays ({reason.lower()})"
        elif isinstance(error, MemoryError):
            reason = "an array in it claims a shape that no memory holds"
        raise UsageError(f"Cannot read {path}: {reason}.") from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise UsageError(f"{path}: {name} is no array; expected {expected}.")
    return found


def _within_limits(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > LARGEST:
        raise UsageError(f"{path} unpacks to more than {LARGEST // 2**30} GiB or {MOST_ARRAYS:,} arrays; split it.")
    locked = next((member.filename for member in members if member.flag_bits & 1), None)
    if locked is not None:
        raise UsageError(f"{path}: {locked} is encrypted; save it without a password.")
