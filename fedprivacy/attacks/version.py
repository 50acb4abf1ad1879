"""Which attacks made a number: a digest of the code of all attacks, since a stronger one is another measurement."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

NAME = "attacks"
"""Under this name it stands among the versions of a result."""


@cache
def digest() -> str:
    """Eight hex digits of the SHA-256 of the source of everything in this folder, name by name."""
    here = Path(__file__).parent
    state = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        state.update(b"\0".join((path.relative_to(here).as_posix().encode(), text, b"")))
    return state.hexdigest()[:8]
