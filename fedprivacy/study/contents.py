"""Which files a report or an audit of a run folder rests on, so that a missing one is told."""

from __future__ import annotations

from pathlib import Path

from fedprivacy import folder
from fedprivacy.folder import Damaged

CONTENTS = "contents.json"


def note(where: Path) -> None:
    """Write the names of those that lie in ``where`` now."""
    folder.write_json(where / CONTENTS, {"files": _drawn_from(where)})


def assert_whole(where: Path) -> None:
    """Raise Damaged where one that was noted is gone, or one has joined them."""
    if folder.read_json(where / CONTENTS).get("files") != _drawn_from(where):
        raise Damaged(f"{where}: files that its report rests on are gone, or others have joined them")


def _drawn_from(where: Path) -> list[str]:
    found = [path for part in ("scores", "pictures") for path in where.rglob(f"{part}/*.safetensors")]
    return sorted(str(path.relative_to(where)) for path in found)
