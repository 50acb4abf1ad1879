"""What was not foreseen, or lies with the machine or a stored file, as one line: what happened, and what to do."""

from __future__ import annotations

import errno

from fedprivacy.execution.exhausted import out_of_memory
from fedprivacy.folder import Damaged

UNFORESEEN = 3
"""Exit code. 1 says that a stated limit was broken, 2 that the input is wrong."""

SYSTEM = {
    errno.ENOSPC: "no space is left: free some and go on; what was finished is kept",
    errno.EDQUOT: "the quota is used up: free some and go on; what was finished is kept",
    errno.EFBIG: "the file grew larger than is allowed here; what was finished is kept",
    errno.EACCES: "no permission: change the rights, or choose another place",
    errno.EPERM: "no permission: change the rights, or choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n), or use fewer workers",
    errno.ENFILE: "too many files are open on this machine: use fewer workers",
    errno.EAGAIN: "the machine allows no further process or thread: use fewer workers or threads",
    errno.EIO: "the disk does not answer: look at it; what was finished is kept",
    errno.ELOOP: "links lead in a circle",
}
MEMORY = "memory ran out: use fewer workers, clients or records a batch, or a smaller model; what was finished is kept"


def told(error: BaseException) -> str:
    """One line for any error that is none of the user's settings."""
    if isinstance(error, Damaged):
        return f"{error}. Nothing was computed from it; --fresh runs it again."
    if out_of_memory(error):
        return f"{MEMORY}."
    if isinstance(error, RecursionError):
        return "something is nested too deeply to be read; --debug shows where."
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{SYSTEM.get(error.errno, error.strerror or 'the system refused')}."
    if type(error).__name__ == "WorkerLost":
        return f"{error}."
    words = " ".join(str(error).split())[:300]
    return (
        f"not foreseen: {type(error).__name__}{': ' + words if words else ''} (--debug shows where; please report it)."
    )
