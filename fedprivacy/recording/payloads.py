"""Payload types from outside, which a recording holds messages of: loaded because somebody named them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.wire.payload import register


def known(names: Iterable[str]) -> None:
    """Make the payload types of these names decodable. UsageError in one line where one is none."""
    for name in names:
        made_known(name, parts.load("payload", name))


def made_known(name: str, part: Any) -> None:
    """The same for a loaded ``part``."""
    kind = getattr(part, "kind", None)
    if not isinstance(part, type) or not dataclasses.is_dataclass(part):
        raise UsageError(f"payload {name}: expected a frozen dataclass; see wire.payload.Payload.")
    if not isinstance(kind, str) or not kind.isprintable() or not 0 < len(kind) <= 200:
        raise UsageError(f"payload {name}: it has no kind, a short text that names it in messages.")
    try:
        register(cast("type[Any]", part))
    except ValueError as error:
        raise UsageError(f"payload {name}: {error}.") from error
