"""Settings of the protocols that meet on public records through a server."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from fedprivacy.config.base import Part
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols.common import averaged_models, consensus, predicted
from fedprivacy.config.run import Names
from fedprivacy.wire.release import Release, Sharpened


class FedMdOptions(Part):
    """Heterogeneous federated learning by model distillation (Li and Wang 2019, arXiv 1910.03581)."""

    transfer_epochs: int = Field(default=10, ge=0)
    """Passes over the labelled public records before everything else."""
    digest: Literal["mae", "mse", "kl"] = "mae"
    """Distance to the consensus: mean absolute error on logits, squared error, or divergence after a softmax."""
    temperature: float = Field(default=1.0, gt=0)
    """Softens both sides of digest = "kl"."""
    digest_epochs: int = Field(default=1, ge=1)
    """Passes over the public records of a round."""
    digest_batch: int = Field(default=256, ge=1)
    """Records of one step of the digest."""
    last_revisit: bool = True
    """Train on the private records once more after the last digest."""
    consensus_weights: Literal["uniform", "validation"] = "uniform"
    """validation: weighted by each client's validation accuracy, which it then reveals."""
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Logits on public records up, their mean down; the accuracy too where it is the weight."""
        if self.consensus_weights == "validation":
            shared = predicted(federation, "logits", merged="weighted")
            return shared, Release("accuracy", "scalars"), consensus("logits", "weighted")
        return predicted(federation, "logits", merged="mean"), consensus("logits", "mean")


class DsFlOptions(Part):
    """Distillation-based semi-supervised federated learning (Itahara et al., arXiv 2008.06180)."""

    aggregation: Literal["era", "sa", "enhanced"] = "era"
    """era: softmax(mean / T), lower entropy; sa: the plain mean; enhanced: mean^beta, rescaled."""
    temperature: float = Field(default=0.1, gt=0)
    """T of era, applied to probabilities."""
    sharpness: float = Field(default=1.5, gt=0)
    """beta of enhanced."""
    distill_epochs: int = Field(default=5, ge=1)
    """Passes over the public records of a round, at each client and at the server."""
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Probabilities on public records up, their sharpened mean down."""
        sharpened = {
            "era": Sharpened("softmax", self.temperature),
            "enhanced": Sharpened("power", self.sharpness),
            "sa": None,
        }[self.aggregation]
        shared = predicted(federation, "probabilities", merged="mean")
        return shared, consensus("probabilities", "mean", sharpened=sharpened)


class CfdOptions(Part):
    """Compressed federated distillation (Sattler et al., arXiv 2012.00632)."""

    bits_up: Literal[1, 2, 3, 4, 5, 6, 7, 8, 32] = 1
    """Bits of one probability on the way up; 1 sends the most likely class, 32 sends floats."""
    bits_down: Literal[1, 2, 3, 4, 5, 6, 7, 8, 32] = 1
    """Bits of one probability on the way down."""
    delta: Literal["auto", "on", "off"] = "auto"
    """Code only what changed since the last round, with 1 bit; auto: on above four classes."""
    distill_epochs: int = Field(default=10, ge=1)
    """Passes of the server's model over the public records in one round."""
    dual_epochs: int = Field(default=10, ge=0)
    """Passes of each client over the server's labels before it trains on its own records; 0 leaves them out."""
    start: Literal["seed", "keep"] = "seed"
    """Clients begin each round from the common random weights, or go on from their last."""
    stateless: ClassVar[bool] = True
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Coded labels of fixed public records up, those of the server's own model down."""
        coded = Release("predictions", "coded-labels", opened="predictions")
        if self.bits_up == 32:
            shared = predicted(federation, "probabilities", merged="mean", fixed_fold=True)
        else:
            shared = replace(coded, merged="mean", answers_queries=True, fixed_fold=True)
        back = Release("predictions", "predictions") if self.bits_down == 32 else coded
        return shared, replace(back, sender="server", receivers="clients", of="mix")


class FedDfOptions(Part):
    """Ensemble distillation at the server (Lin et al. 2020, arXiv 2006.07242)."""

    steps: int = Field(default=10_000, ge=1)
    """Most steps of one fusion."""
    patience: int = Field(default=1_000, ge=1)
    """Stop after so many steps without gain on the validation part."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate (Adam, cosine decay) of the server."""
    batch_size: int = Field(default=128, ge=1)
    """Records of one step of the server."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Part of the public fold that the server holds with labels, to decide when to stop."""
    drop_at_chance: bool = False
    """Leave models out whose validation accuracy is not above chance."""
    weighting: Literal["records", "uniform"] = "records"
    """Weighting of the average that the fusion starts from; records: n_k, which each client then reveals."""
    stateless: ClassVar[bool] = True
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Weights up, one fused model an architecture down."""
        return averaged_models(self.weighting == "records", loss="labels", merged="", of="mix")


class FedKdHybridOptions(Part):
    """Common layers and predictions together (arXiv 2501.04066)."""

    shared_layers: Names = ()
    """Names of layers that travel, such as conv1; empty: all that have the same name and shape everywhere."""
    order: Literal["layers-first", "logits-first"] = "layers-first"
    """Whether a client takes over the mean layers before or after it learns from the mean logits."""
    distill_epochs: int = Field(default=1, ge=1)
    """Passes over the public records of a round."""
    temperature: float = Field(default=1.0, gt=0)
    """Softens both sides; the divergence is multiplied by its square."""
    weighting: Literal["records", "uniform"] = "records"
    """Weighting of the layers; records: n_k, which each client then reveals. Logits are averaged uniformly."""
    private_training: ClassVar[bool] = True

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """Logits on public records and the weights of common layers up, their means down.

        The next round starts from the mean layers where they are taken over after all learning from the logits.
        """
        whole = not self.shared_layers and len(federation.architectures) == 1
        handed_over = whole and self.order == "logits-first"
        layers = averaged_models(
            self.weighting == "records",
            loss="labels" if handed_over else "more",
            known_start=False,
            whole_after=1 if whole else None,
            reference="received" if handed_over else "",
            trains_what_it_is_sent=handed_over,
            by_course=True,
        )
        return predicted(federation, "logits", merged="mean"), *layers, consensus("logits", "mean")
