"""Declarations of what crosses the wire that several protocols share."""

from __future__ import annotations

from typing import Any

from fedprivacy.config.federation import FederationSettings
from fedprivacy.wire.release import Of, Release, Sharpened


def averaged_models(by_records: bool, of: Of | None = None, **declared: Any) -> tuple[Release, ...]:
    """Weights up (and n_k), their mean down; a client trains what it receives. ``declared``: what differs from that."""
    mean: Of = of or ("weighted" if by_records else "mean")
    merged = "weighted" if by_records else "mean"
    common: dict[str, Any] = {
        "merged": merged,
        "known_start": True,
        "reference": "received",
        "trains_what_it_is_sent": True,
    }
    sent = Release("weights", "weights", **common | declared)
    returned = Release(
        "weights",
        "weights",
        sender="server",
        receivers="clients",
        of=mean,
        architecture=sent.architecture,
        whole_after=sent.whole_after,
    )
    return (sent, Release("n_k", "scalars"), returned) if by_records else (sent, returned)


def predicted(federation: FederationSettings, form: str, **declared: Any) -> Release:
    """Predictions on the public fold that the server chose; ``declared``: what differs from that."""
    common: dict[str, Any] = {
        "forms": frozenset({form}),
        "answers_queries": True,
        "fixed_fold": federation.data.public_set == "static",
    }
    return Release("predictions", "predictions", form, **common | declared)


def consensus(form: str, of: Of, sharpened: Sharpened | None = None) -> Release:
    """What the server makes of the predictions of a round, to all who sent some."""
    return Release("predictions", "predictions", form, sender="server", receivers="clients", of=of, sharpened=sharpened)
