"""Settings of the protocols that distil between models of one client."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols.common import averaged_models
from fedprivacy.wire.release import Release


class FmlOptions(Part):
    """Federated mutual learning (Shen et al. 2020, arXiv 2006.16765)."""

    meme: str | None = None
    """Architecture of the shared model; none: training.model."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels in the private model's loss; the rest is the divergence from the meme."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels in the meme's loss; the rest is the divergence from the private model."""
    schedule: Literal["constant", "dynamic"] = "constant"
    """dynamic: after each third of the rounds alpha grows by 0.2 and beta by 0.4, up to 1."""
    lr_drop: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate after each third of the rounds; the published code uses 0.1."""
    weighting: Literal["uniform", "records"] = "uniform"
    """uniform mean of the memes, or weighted by n_k, which each client then reveals."""
    compat: Literal["none", "pfllib"] = "none"
    """pfllib: divergence over C, no detached targets. Only to explain numbers published with that library."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """A meme up, the mean of the memes down; it learns from the private model too."""
        meme = self.meme or federation.training.model
        return averaged_models(self.weighting == "records", known_start=False, architecture=meme, slot="meme")


class FedKdOptions(Part):
    """Communication-efficient federated distillation (Wu et al. 2022, arXiv 2108.13323)."""

    mentee: str | None = None
    """Architecture of the shared model; none: training.model."""
    energy_start: float = Field(default=0.95, gt=0, le=1)
    """Share of the squared singular values that is sent in the first rounds."""
    energy_end: float = Field(default=0.98, gt=0, le=1)
    """Share that is sent in the last round."""
    hidden_weight: float = Field(default=1.0, ge=0)
    """Weight of the loss between hidden states; 0 leaves it out."""
    grad_through_weight: bool = False
    """Let gradients flow through the weight 1 / (CE(mentor) + CE(mentee)); off: it is a constant of the step."""
    weight_floor: float = Field(default=1e-2, gt=0)
    """Smallest CE(mentor) + CE(mentee) that is divided by, so that a perfect fit cannot blow the loss up."""
    error_feedback: bool = False
    """Add what one compression lost to the next update."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Factors of the mentee's update up, those of the mean update down."""
        mentee = self.mentee or federation.training.model
        sent = Release(
            "update",
            "low-rank",
            opened="update",
            merged="mean",
            architecture=mentee,
            slot="mentee",
            reference="received",
            trains_what_it_is_sent=True,
        )
        mean = Release(
            "update",
            "low-rank",
            opened="update",
            sender="server",
            receivers="clients",
            of="mean",
            architecture=mentee,
        )
        return sent, mean


class FedCkdOptions(Part):
    """Distillation from two teachers of one's own past (arXiv 2411.03569)."""

    history_weight: float = Field(default=0.5, ge=0)
    """Weight of the client's own model of its last round."""
    global_weight: float = Field(default=0.5, ge=0)
    """Weight of the global model that the round starts from."""
    temperature: float = Field(default=2.0, gt=0)
    """Softens both sides; the divergence is multiplied by its square."""
    weighting: Literal["records", "uniform"] = "records"
    """records: weighted by n_k, which each client then reveals."""
    stateless: ClassVar[bool] = True
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights up, their mean down; the loss has two teachers."""
        return averaged_models(self.weighting == "records", loss="more")


class ProFeOptions(Part):
    """Prototypes and a distilled student from peer to peer (arXiv 2412.11207)."""

    student: str | None = None
    """Architecture of the shared model; none: training.model."""
    temperature: float = Field(default=2.0, gt=0)
    """Softens teacher and student; the divergence is multiplied by its square."""
    alpha: float = Field(default=1.0, ge=0)
    """Weight of KL(teacher || student) in round 1."""
    beta: float = Field(default=1.0, ge=0)
    """Weight of the squared distance between the features of student and teacher in round 1."""
    halving: bool = True
    """Halve alpha and beta each round, to 0 below 0.1."""
    prototype_share: float = Field(default=0.2, ge=0, lt=1)
    """Part of each model's own loss that is the squared distance to the prototype; the rest is cross-entropy."""
    prototypes_of: Literal["student", "teacher"] = "student"
    """Whose features are averaged into prototypes."""
    transport_bits: Literal[16, 32] = 16
    """Width of the student's weights on the wire."""
    prototype_bits: Literal[16, 32] = 32
    """Width of the prototypes on the wire: 32 as in code of the same group, 16 as the paper is summarised."""

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """A student's weights and class prototypes to the neighbours, who alone know what they began from."""
        student = self.student or federation.training.model
        edges = federation.graph.edges
        weights = Release(
            "weights", "weights", receivers="neighbours", edges=edges, architecture=student, slot="student"
        )
        return weights, Release("prototypes", "prototypes", receivers="neighbours", edges=edges)
