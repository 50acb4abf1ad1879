"""Settings of the two bounds: no exchange, and no privacy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.wire.release import Release


class LocalOptions(Part):
    """No exchange: each client alone."""

    public_labels: bool = False
    """Also train on the labelled public folds: how much is plain supervision?"""
    public_epochs: int = Field(default=5, ge=1)
    """Passes over the public fold in one round."""
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Nothing."""
        return ()


class CentralOptions(Part):
    """One model on the pooled records: an upper bound without privacy."""

    public_labels: bool = False
    """Also train on the labelled public folds."""
    match: Literal["epochs", "steps"] = "epochs"
    """Equal passes over the data, or equal gradient steps to one client's."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Nothing: the records themselves lie in one place."""
        return ()
