"""What each release costs, as frozen values; the accountant folds them once, at the end of a run.

A release without noise is an event too: its epsilon is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
