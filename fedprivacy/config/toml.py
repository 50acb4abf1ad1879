"""Configurations as TOML text: read through ``tomllib``, written here, since the standard library only reads."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprivacy.config.base import NONE, Part, UsageError


def to_toml(part: Part) -> str:
    """``part`` as TOML, which has no null: a setting that is None is left out, or "none" where its default is not."""
    lines: list[str] = []
    _table(_told(part), (), lines)
    return "\n".join(lines) + "\n"


def _told(part: Part) -> dict[str, Any]:
    """The settings of ``part`` with a word for None where leaving it out would mean something else."""
    found = part.model_dump(mode="json")
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, Part):
            found[name] = _told(value)
        elif value is None and field.default is not None:
            found[name] = NONE
    return found


def _table(content: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines += ["", "[" + ".".join(map(_key, path)) + "]"]
    for name, value in content.items():
        if value is not None and not isinstance(value, Mapping):
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            _table(value, (*path, name), lines)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def read_toml(path: Path, named: str = "--config") -> dict[str, Any]:
    """The tables of a TOML file, ``named`` so by the user; :class:`UsageError` where it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{named}: nothing is at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{named}: cannot read {path}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{named}: {path} is not TOML: {error}.") from None
