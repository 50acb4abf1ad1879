"""Settings of the protocols that send weights or updates, in step and out of step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols.common import averaged_models
from fedprivacy.wire.release import Loss, Release


def by_jobs(federation: FederationSettings, kind: str, loss: Loss, hold: float = 0.0) -> tuple[Release, ...]:
    """What clients send when they are done, and the present model, which the server sends to whoever begins a job."""
    sent = Release(
        kind,
        kind,
        times=federation.together,
        merged="other",
        reference="received",
        loss=loss,
        hold=hold,
        by_job=True,
        trains_what_it_is_sent=True,
    )
    return sent, Release("weights", "weights", sender="server", receivers="clients", of="mix")


class FedAvgOptions(Part):
    """Federated averaging (McMahan et al. 2017)."""

    weighting: Literal["records", "uniform"] = "records"
    """records: weighted by n_k, which each client then reveals. uniform: as Gupta's baseline."""
    public_labels: bool = False
    """Each client also trains on the labelled public fold before averaging: the fair baseline to mutual learning."""
    public_epochs: int = Field(default=5, ge=1)
    """Passes over the public fold in one round."""
    stateless: ClassVar[bool] = True
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights up, their mean down; on public labels too, what is sent is not of private records alone."""
        loss: Loss = "more" if self.public_labels else "labels"
        return averaged_models(self.weighting == "records", loss=loss)


class FedProxOptions(Part):
    """Federated averaging with a proximal term (Li et al. 2020)."""

    mu: float = Field(default=1.0, ge=0)
    """Weight of ``mu/2 * ||w - w_t||^2`` in every client's loss; 1 is the paper's choice on MNIST and FEMNIST."""
    stragglers: float = Field(default=0.0, ge=0, le=1)
    """Share of the participants that manage only part of the local epochs; their work counts all the same."""
    weighting: Literal["records", "uniform"] = "records"
    """records: weighted by n_k, which each client then reveals."""
    stateless: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights up, their mean down; the proximal term has no gradient at the weights that were sent."""
        steps_known = self.stragglers == 0
        by_records = self.weighting == "records"
        return averaged_models(by_records, loss="labels at the start", steps_known=steps_known, hold=self.mu)


class LayerwiseOptions(Part):
    """Asynchronous weight updating by layer groups (Gupta, Fadlullah, Fouda 2022)."""

    normalise: Literal["sum", "clients"] = "sum"
    """sum: divide by the sum of the accuracies. clients: by their number, as published, which shrinks the group."""
    deep_every: int = Field(default=3, ge=1)
    """The deep group is sent in every such round, the shallow group in all others."""
    server_epochs: int = Field(default=5, ge=0)
    """Passes of the server's model over the labelled public fold."""
    server_share: float = Field(default=1.0, gt=0, le=1)
    """Part of the public fold, from its beginning, that the server trains on; as published 0.7."""
    server_optimizer: Literal["fresh", "persistent"] = "fresh"
    """Whether the server's optimiser keeps its moments from round to round, as published."""
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """One group of layers a round, up and down; a client goes on training the layers that it does not send."""
        whole_after = self.deep_every if self.deep_every > 1 else None
        group = Release(
            "weights",
            "weights",
            merged="weighted",
            reference="start",
            loss="labels",
            whole_after=whole_after,
            trains_what_it_is_sent=True,
        )
        trained = Release("weights", "weights", sender="server", receivers="clients", of="mix", whole_after=whole_after)
        return group, Release("accuracy", "scalars"), trained


class ClockOptions(Part):
    """The simulated clock of an asynchronous federation."""

    speeds: Literal["half-normal", "lognormal", "equal"] = "half-normal"
    """How long a client trains: half-normal, drawn anew for every job, as FedBuff was simulated; lognormal, a speed of
    its own that it keeps, so that the fast count more often; equal, one unit of time for all."""
    spread: float = Field(default=0.5, ge=0)
    """Standard deviation of the logarithm of a client's speed."""


class FedAsyncOptions(ClockOptions):
    """Asynchronous federated optimisation (Xie et al., arXiv 1903.03934)."""

    alpha: float = Field(default=0.6, gt=0, le=1)
    """Weight of an arriving model that is not stale."""
    staleness: Literal["polynomial", "hinge", "constant"] = "polynomial"
    """How that weight falls with the number d of versions a model is late: (d+1)^-a; 1 up to b and 1/(a(d-b)+1)
    beyond; or not at all."""
    exponent: float = Field(default=0.5, ge=0)
    """a of the polynomial."""
    hinge_slope: float = Field(default=10.0, gt=0)
    """a of the hinge."""
    hinge_from: int = Field(default=4, ge=0)
    """b of the hinge."""
    max_staleness: int | None = Field(default=None, ge=0)
    """Models later than this are ignored; none takes all."""
    rho: float = Field(default=0.005, ge=0)
    """Weight of ``rho/2 * ||x - x_s||^2`` in the client's loss."""
    stateless: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights up whenever a client is done, the present model down."""
        return by_jobs(federation, "weights", "labels at the start", self.rho)


class FedBuffOptions(ClockOptions):
    """Buffered asynchronous aggregation (Nguyen et al., arXiv 2106.06639)."""

    buffer: int | None = Field(default=None, ge=1)
    """Arrivals that make one step of the server; none: the paper's 10, or half of the clients that work at the same
    time where that is less, since the paper's 10 are few of its thousand."""
    server_lr: float = Field(default=1.0, gt=0)
    """Step of the server along the buffered update."""
    server_momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of the server, which algorithm 1 is without. Published code runs 0.7 with 0.9, seven times the step,
    over thousands of clients; in a few stale steps over skewed ones that overshoots."""
    exponent: float = Field(default=0.5, ge=0)
    """An update that is d versions late counts (1+d)^-exponent."""
    reduce: Literal["mean", "sum"] = "mean"
    """mean over the buffer, or sum as some code does: a step buffer times as large."""
    flush: bool = False
    """Take a step at the end of each round with whatever is in the buffer."""
    renormalise: bool = False
    """Divide the staleness weight by its value at one version late, as some code does."""
    stateless: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """An update up whenever a client is done, the present model down."""
        return by_jobs(federation, "update", "labels")
