"""What each release costs, as frozen values; the accountant folds them once, at the end of a run.

A release without noise is an event too: its epsilon is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["record", "client"]
Relation = Literal["add-remove", "replace-one"]


@dataclass(frozen=True)
class NoNoise:
    """A release that depends on private data and has no noise: no finite epsilon holds."""


@dataclass(frozen=True)
class PrivacyEvent:
    """One release of one client in one round."""

    client: int
    round: int
    release: str
    """What left: ``predictions``, ``weights``, ``accuracy``, ..."""
    mechanism: NoNoise
    unit: Unit = "record"
    relation: Relation = "add-remove"


MECHANISMS: dict[str, type[NoNoise]] = {kind.__name__: kind for kind in (NoNoise,)}


def event_to_json(event: PrivacyEvent) -> dict[str, Any]:
    """The event as plain JSON values, its mechanism by name."""
    return {**asdict(event), "mechanism": {"name": type(event.mechanism).__name__, **asdict(event.mechanism)}}


def event_from_json(content: Mapping[str, Any]) -> PrivacyEvent:
    """The event that :func:`event_to_json` wrote."""
    mechanism = dict(content["mechanism"])
    return PrivacyEvent(**{**content, "mechanism": MECHANISMS[mechanism.pop("name")](**mechanism)})
