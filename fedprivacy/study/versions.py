"""The versions that stand in a result: of Python, of the libraries behind its numbers, and of the attacks."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from fedprivacy.attacks import version


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """Name to version."""
    known = {name: metadata.version(name) for name in libraries}
    return {"python": platform.python_version(), **known, version.NAME: version.digest()}
