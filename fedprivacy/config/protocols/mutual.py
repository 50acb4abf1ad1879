"""Settings of mutual learning on shared predictions."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols.common import averaged_models, predicted
from fedprivacy.wire.release import Of, Release


class MutualOptions(Part):
    """Distributed mutual learning (Gupta 2025, arXiv 2503.05803)."""

    kl: Literal["auto", "literal", "bernoulli", "categorical"] = "auto"
    """Divergence to the peers: literal is what the published code computes (one column), bernoulli the divergence
    that was meant for one sigmoid, categorical the sum over classes; auto is the proper one for the output."""
    kl_direction: Literal["own_peer", "peer_own"] = "own_peer"
    """own_peer: KL(own || peer), as in the paper. peer_own: the usual distillation."""
    kl_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean divergence to the peers."""
    temperature: float = Field(default=1.0, gt=0)
    """Softens both sides; the divergence is multiplied by its square."""
    payload: Literal["probabilities", "logits", "losses", "labels"] = "probabilities"
    """What a client sends for each public record."""
    public_labels: bool = True
    """Train on the labels of the public fold too."""
    average_weights: bool = False
    """Average all weights after the public phase; then weights are shared after all."""
    update_order: Literal["simultaneous", "sequential"] = "simultaneous"
    """sequential: a client sees the new predictions of those before it."""
    peer_mode: Literal["all-peers", "mean"] = "all-peers"
    """mean: the relay sends each client one vector with the same gradient, instead of one a peer."""
    public_optimizer: Literal["fresh", "persistent"] = "fresh"
    """Whether the public phase starts with a new optimiser."""
    public_epochs: int = Field(default=5, ge=1)
    """Passes over the public fold in one round."""
    private_training: ClassVar[bool] = True

    @model_validator(mode="after")
    def _consistent(self) -> MutualOptions:
        if self.payload == "labels" and self.kl_direction == "own_peer" and self.kl_weight > 0:
            raise ValueError(
                "KL(own || peer) to a hard label is infinite; payload = 'labels' needs kl_direction = 'peer_own'"
            )
        if self.payload == "losses" and not self.public_labels:
            raise ValueError("losses are taken on a labelled fold; payload = 'losses' needs public_labels = true")
        if self.payload == "losses" and self.temperature != 1:
            raise ValueError("a loss cannot be softened after the fact; payload = 'losses' needs temperature = 1")
        if self.payload in ("losses", "labels") and self.peer_mode == "mean":
            raise ValueError("peer_mode = 'mean' needs payload = 'probabilities' or 'logits'")
        if self.update_order == "sequential" and self.peer_mode == "mean":
            raise ValueError("update_order = 'sequential' needs peer_mode = 'all-peers'")
        if self.payload in ("losses", "labels") and self.kl == "literal":
            raise ValueError("kl = 'literal' needs payload = 'probabilities' or 'logits'")
        return self

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Predictions on a public fold up, the peers' or their mean down; weights too where they are averaged."""
        soft = {"probabilities", "logits"}
        usable = frozenset(soft if self.peer_mode == "mean" or self.kl == "literal" else {*soft, "labels"})
        if self.kl_direction == "peer_own":
            plain = self.payload == "probabilities" and self.temperature == 1
        else:
            plain = self.payload == "logits" and self.kl != "literal"
        in_turn = self.update_order == "sequential"
        shared = predicted(
            federation,
            self.payload,
            times=2 if in_turn else 1,
            in_turn=in_turn,
            forms=usable | {self.payload},
            merged=("mean" if plain else "other") if self.peer_mode == "mean" else "",
        )
        of: Of = "mean of others" if self.peer_mode == "mean" else "relay"
        passed_on = Release(
            "predictions",
            "predictions",
            shared.form,
            shared.times,
            sender="server",
            receivers="clients",
            of=of,
            in_turn=in_turn,
        )
        models = averaged_models(False, merged="", known_start=False, by_course=True) if self.average_weights else ()
        return shared, passed_on, *models
