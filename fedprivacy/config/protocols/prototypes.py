"""Settings of the protocol that sends class means alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.wire.release import Of, Release


class FedProtoOptions(Part):
    """Federated prototype learning (Tan et al. 2022)."""

    prototype_weight: float = Field(default=1.0, ge=0)
    """Weight of the squared distance between a record's features and the prototype of its class."""
    weighting: Literal["uniform", "counts"] = "uniform"
    """uniform: plain mean over the clients that hold a class; counts: by their records, a further leak."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Class prototypes up, their mean down."""
        of: Of = "weighted" if self.weighting == "counts" else "mean"
        sent = Release("prototypes", "prototypes", merged="other", pull=self.prototype_weight)
        return sent, Release("prototypes", "prototypes", sender="server", receivers="clients", of=of)
