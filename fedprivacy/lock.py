"""One writer at a time: a lock file that names its owner, and that a killed owner lets go of.

The lock is the system's (``flock``), not the file's: the file only says who holds it, and it is gone when the holder
ends well. POSIX, as worker processes are.

Not ``filelock``, which comes with torch: its ``FileLock`` names no owner, has no readers that share, and leaves its
file behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Held(Exception):
    """Another process holds the lock; one line that names it."""


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs, alone, or with other ``shared`` holders.

    Raises :class:`Held` where another process has it, unless ``wait``. A shared lock is for reading: where its file
    cannot be made, for lack of a right to write there, it is done without.
    """
    made = [place for place in path.parents if not place.exists()]
    try:
        handle = _locked(path, wait, shared)
    except PermissionError:
        if not shared:
            raise
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(handle)
        for place in made:  # what was made for the lock alone goes with it
            with contextlib.suppress(OSError):
                place.rmdir()


def _locked(path: Path, wait: bool, shared: bool) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError:
            owner = os.pread(handle, 1000, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise Held(owner) from None
        except BaseException:
            os.close(handle)
            raise
        if _is_at(handle, path):
            if not shared:
                os.truncate(handle, 0)
                os.pwrite(handle, owner_words().encode(), 0)
            return handle
        os.close(handle)  # the holder before took the file with it; there is a new one, or none


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file still is the one at ``path``."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    ours = os.fstat(handle)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def owner_words() -> str:
    """This process, for whoever finds the lock taken."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}: {shlex.join(sys.argv)[:500]}"
