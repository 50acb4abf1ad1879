"""One release of one client in one round, with what it costs, and back and forth to JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedprivacy.privacy.mechanisms import MECHANISMS, Mechanism

Unit = Literal["record", "client"]
Relation = Literal["add-remove", "replace-one"]


@dataclass(frozen=True)
class PrivacyEvent:
    """One release of one client in one round."""

    client: int
    round: int
    release: str
    """What left: ``predictions``, ``weights``, ``accuracy``, ... or ``training`` for noise inside training."""
    mechanism: Mechanism
    unit: Unit = "record"
    relation: Relation = "add-remove"
    fold: int | None = None
    """The one fold of the client's records that the release depends on, beside what is already private; None: on all
    of them."""
    against: Literal["transcript", "receivers"] = "transcript"
    """Whom the noise protects against: all who see the wire, or only those who receive what a trusted server sends."""


def event_to_json(event: PrivacyEvent) -> dict[str, Any]:
    """The event as plain JSON values, its mechanism by name."""
    return {**asdict(event), "mechanism": {"name": type(event.mechanism).__name__, **asdict(event.mechanism)}}


def event_from_json(content: Mapping[str, Any]) -> PrivacyEvent:
    """The event that :func:`event_to_json` wrote."""
    mechanism = dict(content["mechanism"])
    return PrivacyEvent(**{**content, "mechanism": MECHANISMS[mechanism.pop("name")](**mechanism)})


def settled(raw: Iterable[PrivacyEvent], covering: Iterable[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """A protocol's own events, without those of a (client, round, release) that ``covering`` pays for, then those.

    ``covering`` may plan for messages that were lost on the way; noise that was not needed is still counted.
    """
    paid = tuple(covering)
    keys = {(event.client, event.round, event.release) for event in paid}
    return (*(e for e in raw if (e.client, e.round, e.release) not in keys), *paid)
