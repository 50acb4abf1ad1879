"""One writer at a time: a lock file that names its owner, and that a killed owner lets go of.

The lock is the system's (``flock``), not the file's: the file only says who holds it, and it is gone when the last
holder ends. POSIX, as worker processes are. An interruption may strike between any two steps, so a process knows
what it may have put on disk before it is there, and clears away what is left of it when it ends.

Not ``filelock``, which comes with torch: its ``FileLock`` names no owner, has no readers that share, and leaves its
file behind.
"""

from __future__ import annotations

import atexit
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
    hold = _Hold(path.absolute())
    _holds.append(hold)
    try:
        hold.take(wait, shared)
        yield
    finally:
        try:
            hold.let_go()
        finally:  # once more, should the first have been interrupted
            hold.let_go()


def beside(where: Path) -> Path:
    """The lock file of a folder, beside it, since whoever holds it may remove what is in there."""
    place = where.absolute()
    return place.with_name(f".{place.name or 'root'}.lock")


def tidy() -> None:
    """Let go of every lock of this process: for its end, where an interruption may have kept it from doing so."""
    for hold in list(_holds):
        hold.let_go()


class _Hold:
    """A lock file that this process may have made, from before it is there until it is gone."""

    def __init__(self, path: Path) -> None:
        self.path, self.handle = path, -1
        self.made = [place for place in path.parents if not place.exists()]

    def take(self, wait: bool, shared: bool) -> None:
        kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while not self._locked(kind):
                pass
            if not shared:
                os.truncate(self.handle, 0)
                os.pwrite(self.handle, owner_words().encode(), 0)
        except PermissionError:
            if not shared:
                raise

    def _locked(self, kind: int) -> bool:
        """Whether the lock is had; False where its file was taken away meanwhile, and there is a new one or none."""
        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.handle, kind)
        except BlockingIOError:
            owner = os.pread(self.handle, 1000, 0).decode(errors="replace").strip() or "another process"
            raise Held(owner) from None
        if _is_at(self.handle, self.path):
            return True
        self._close()
        return False

    def let_go(self) -> None:
        """Take the file away, unless others hold it, and what was made for it alone; once."""
        if self not in _holds:
            return
        with contextlib.suppress(OSError):
            if self.handle < 0:  # open, if at all, where an interruption lost its number: without a lock then
                self.handle = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails unless this is the last of all that share
            if _is_at(self.handle, self.path):
                self.path.unlink()
        self._close()
        for place in self.made:
            with contextlib.suppress(OSError):
                place.rmdir()
        _holds.remove(self)

    def _close(self) -> None:
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)


_holds: list[_Hold] = []
atexit.register(tidy)
os.register_at_fork(after_in_child=_holds.clear)


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
