"""Configurations as TOML text: read through ``tomllib``, written through ``tomli_w``, for TOML has no null."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from fedprivacy.config.base import NONE, Part, UsageError

LARGEST = 2**20
"""Bytes of the largest text of settings that is read."""

HANDED_OVER = (Path("/dev/stdin"), Path("/dev/fd"))
"""Where a shell puts what another command writes: a pipe with somebody at its other end."""


def to_toml(part: Part) -> str:
    """``part`` as TOML, which has no null: a setting that is None is left out, or "none" where its default is not."""
    return tomli_w.dumps(_told(part))


def _told(part: Part) -> dict[str, Any]:
    """The settings of ``part`` with a word for None where leaving it out would mean something else; no empty table."""
    found = part.model_dump(mode="json")
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, Part):
            found[name] = _told(value)
        elif value is None and field.default is not None:
            found[name] = NONE
    return {name: value for name, value in found.items() if value is not None and value != {}}


def read_toml(path: Path, named: str = "--config") -> dict[str, Any]:
    """The tables of a TOML file, ``named`` so by the user; :class:`UsageError` where it is missing or malformed."""
    try:
        return tomllib.loads(_text(path, named))
    except FileNotFoundError:
        raise UsageError(f"{named}: nothing is at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{named}: cannot read {path}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{named}: {path} is not TOML: {error}.") from None
    except RecursionError:
        raise UsageError(f"{named}: {path} is nested too deeply.") from None


def _text(path: Path, named: str) -> str:
    """The text of a plain file, or of what the shell hands over. UsageError for a pipe that nobody may ever fill."""
    handed = path.parent in HANDED_OVER or path in HANDED_OVER
    if not handed and not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{named}: {path} is no plain file.")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(f"{named}: {path} has more than {LARGEST:,} bytes, as no settings have.")
    return data.decode()
