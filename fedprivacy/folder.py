"""Files that survive a kill and are believed only where they are whole.

Written under a temporary name, then renamed. Read within a size, never through a link, and sealed: JSON and arrays
carry the SHA-256 of their own content, so that one flipped bit is told and not reported on. Nothing here can execute
what it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from fedprivacy import lock

LARGEST_TEXT = 256 * 2**20
LARGEST_ARRAYS = 16 * 2**30
"""Bytes of the largest JSON text, and of the largest file of arrays, that is read."""

_SEAL = "seal"
_OPEN = b"sealed by sha-256 once all else in this file has been written: ."
_TEMPORARY = (".", ".part")


class Damaged(Exception):
    """A stored file is missing or not what was written: one line."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the whole new one, never a part.

    The file gets the rights that the umask leaves. One writer at a time; see :mod:`fedprivacy.lock`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY[0]}{path.name}{_TEMPORARY[1]}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_beside(path: Path, data: bytes) -> Path:
    """Write ``data`` to ``path``, or where something else is there to the next free name; returns the name.

    What is there is never replaced: ``page.md``, then ``page-2.md``. The same content is written once. Whoever else
    writes under that name is waited for.
    """
    with lock.held(lock.beside(path), wait=True):
        for number in itertools.count(1):
            place = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
            if not os.path.lexists(place):
                write_bytes(place, data)
                return place
            with contextlib.suppress(Damaged):
                if read_bytes(place, len(data)) == data:
                    return place
    raise AssertionError("numbers do not end")


def sweep(where: Path) -> None:
    """Remove what a killed writer left under temporary names in ``where`` and below."""
    for place, _, files in os.walk(where):
        for name in files:
            if name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1]):
                Path(place, name).unlink(missing_ok=True)


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a regular file. Raises :class:`Damaged` where it is missing, a link, special, or too large."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Damaged(f"{path} is not a plain file")
            if found.st_size > largest:
                raise Damaged(f"{path} has {found.st_size:,} bytes; at most {largest:,} are read")
            return file.read()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    except OSError as error:
        why = "it is a link, and stored files are not" if path.is_symlink() else error.strerror or "no reason given"
        raise Damaged(f"{path} cannot be read: {why}") from None


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Readable, sealed JSON with a final newline; NaN and infinity are refused."""
    write_text(path, sealed_text(content))


def sealed_text(content: Mapping[str, Any]) -> str:
    """What :func:`write_json` writes."""
    plain = json.loads(json.dumps(content, allow_nan=False))
    return json.dumps({**plain, _SEAL: seal_of(plain)}, indent=2) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """What :func:`write_json` wrote, without the seal. Raises :class:`Damaged`."""
    content = parsed(read_bytes(path), path)
    if not isinstance(content, dict) or not isinstance(content.get(_SEAL), str):
        raise Damaged(f"{path} carries no seal: another version of fedprivacy wrote it, or another program")
    seal = content.pop(_SEAL)
    if seal != seal_of(content):
        raise Damaged(f"{path} was changed after it was written (its content does not match its seal)")
    return content


def parsed(text: bytes, path: Path) -> Any:
    """JSON with finite numbers; :class:`Damaged` naming ``path`` where it is none, or nested too deeply."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Damaged(f"{path} is not JSON: {why}") from None


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of ``content`` as JSON with sorted keys."""
    try:
        return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
    except RecursionError:
        raise Damaged("JSON is nested too deeply") from None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any] | None = None) -> None:
    """Named arrays with a JSON header, as sealed safetensors.

    Row by row first: safetensors' numpy writer takes memory as it lies.
    """
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_bytes(path, sealed(safetensors.numpy.save(plain, {"header": header_text(header or {})})))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the header that :func:`write_arrays` wrote. Raises :class:`Damaged`."""
    data = read_bytes(path, LARGEST_ARRAYS)
    header = unsealed(data, path)
    try:
        return dict(safetensors.numpy.load(data)), header
    except Exception as error:  # safetensors has an exception of its own, and numpy several
        raise Damaged(f"{path} is not safetensors: {error}") from None


def header_text(header: Mapping[str, Any]) -> str:
    """A JSON header with room for the seal; one text, since safetensors writes several in no fixed order."""
    return json.dumps({_SEAL: _OPEN.decode(), **header}, sort_keys=True)


def sealed(data: bytes) -> bytes:
    """``data`` (safetensors with a :func:`header_text`), with the SHA-256 of all of it in the room for the seal."""
    at = data.index(_OPEN)
    return b"".join((data[:at], hashlib.sha256(data).hexdigest().encode(), data[at + len(_OPEN) :]))


def unsealed(data: bytes, path: Path) -> dict[str, Any]:
    """The header of sealed safetensors. Raises :class:`Damaged` where a bit of it differs from what was written."""
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(len(data) - 8, LARGEST_TEXT):
        raise Damaged(f"{path} is not safetensors")
    metadata = parsed(data[8 : 8 + length], path)
    text = metadata.get("__metadata__", {}).get("header") if isinstance(metadata, dict) else None
    header = parsed(text.encode(), path) if isinstance(text, str) else None
    seal = header.pop(_SEAL, None) if isinstance(header, dict) else None
    if not isinstance(seal, str) or len(seal) != 64 or not isinstance(header, dict):
        raise Damaged(f"{path} carries no seal: another version of fedprivacy wrote it, or another program")
    at = data.find(seal.encode(), 8, 8 + length)
    state = hashlib.sha256(data[:at])
    state.update(_OPEN)
    state.update(memoryview(data)[at + 64 :])
    if at < 0 or state.hexdigest() != seal:
        raise Damaged(f"{path} was changed after it was written (its content does not match its seal)")
    return header


def assert_plain(where: Path, most: int = 1_000_000, depth: int = 8) -> None:
    """Raise :class:`Damaged` where a folder holds links or special files, more than ``most`` entries, or a maze."""
    count = 0
    for place, folders, files in os.walk(where):
        count += len(folders) + len(files)
        if count > most or len(Path(place).relative_to(where).parts) > depth:
            raise Damaged(f"{where} holds more files, or deeper folders, than any run leaves")
        for name in (*folders, *files):
            kind = Path(place, name).lstat().st_mode
            if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
                raise Damaged(f"{Path(place, name)} is a link or a special file; a run folder holds none")


def read_part(path: Path, offset: int, length: int) -> bytes:
    """``length`` bytes of a regular file from ``offset`` on. Raises :class:`Damaged` where they are not there."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = os.pread(file.fileno(), length, offset) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from None
    if len(data) != length:
        raise Damaged(f"{path} ends before byte {offset + length:,}, up to which it was written")
    return data


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Write ``data`` from ``offset`` on, into a file that a kill may leave longer than its owner knows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.seek(offset)
        file.write(data)


def cut(path: Path, length: int) -> None:
    """Take away what a file holds behind ``length`` bytes; no file is as good as an empty one."""
    if path.exists() or length:
        os.truncate(path, length)
