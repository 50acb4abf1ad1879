"""What the framework that carried a recorded federation says of itself: ``carrier.json``, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedprivacy import folder
from fedprivacy.recording.files import CARRIER, entry, one_line


def write_carrier(
    where: Path, framework: str, nodes: Mapping[str, str], up: int, down: int, warnings: Sequence[str]
) -> None:
    """Write it anew. ``nodes``: what the framework calls each client; ``up``, ``down``: bytes that it moved itself."""
    content = {"framework": framework, "nodes": dict(nodes), "up": up, "down": down, "warnings": list(warnings)}
    folder.write_json(where / CARRIER, content)


def carried(where: Path) -> tuple[str, ...]:
    """Its lines; none where nobody wrote it. UsageError in one line for a file that is damaged."""
    path = where / CARRIER
    if not path.exists():
        return ()
    with one_line():
        content = folder.read_json(path)
    name = entry(content, "framework", lambda v: isinstance(v, str), "a name", path)
    up, down = (entry(content, key, lambda v: type(v) is int and v >= 0, "a count", path) for key in ("up", "down"))
    warnings = entry(content, "warnings", _are_lines, "a list of lines", path)
    return (f"carried by {name}, which moved {up:,} bytes up and {down:,} down, its headers included", *warnings)


def _are_lines(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)
