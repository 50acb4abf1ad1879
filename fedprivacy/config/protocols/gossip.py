"""Settings of the protocols without a server that send their models to neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.wire.release import Release


def own_models(federation: FederationSettings) -> Release:
    """A node's model, trained on labels alone, to its neighbours, who know what it began from in round 1 alone."""
    edges = federation.graph.edges
    return Release("weights", "weights", receivers="neighbours", edges=edges, reference="start", loss="labels")


class DFedAvgOptions(Part):
    """Decentralised federated averaging (Sun, Li, Wang 2021, arXiv 2104.11375)."""

    mixing: Literal["metropolis", "uniform"] = "metropolis"
    """metropolis: 1 / (1 + larger degree), which keeps the mean of all models on any topology and under dropout (who
    drops out does not mix); uniform: over neighbours and self, which keeps it only where all who mix hear as many."""
    stateless: ClassVar[bool] = True
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights to the neighbours."""
        return (own_models(federation),)


class GossipMutualOptions(Part):
    """Mutual learning over the edges of a topology."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the mean divergence from the neighbours' predictions; that of the labels is 1."""
    temperature: float = Field(default=1.0, gt=0)
    """Softens both sides; the divergence is multiplied by its square."""
    mutual_epochs: int = Field(default=1, ge=1)
    """Passes over the private records towards the models that were heard, in one round."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights to the neighbours."""
        return (own_models(federation),)
