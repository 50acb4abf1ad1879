"""What the attacker of a gradient or update knows, printed with every reconstruction.

The same attack is devastating with labels, order and statistics handed over and harmless without them, so the card
is part of the result. Presets: ``strong`` (all given), ``fair`` (labels recovered from the update, steps known),
``blind`` (nothing but weights and update).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.training.adam import Form


@dataclass(frozen=True, eq=False)
class Start:
    """Weights that a round of local training began from; itself alone is its equal."""

    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """What is told of Adam beside its learning rate; torch's default betas.

    ``past``: where its earlier rounds began, in their order, each of as many steps on the same records, whose moments
    it kept; without any they are zero.
    """

    eps: float = 1e-8
    form: Form = "torch"
    past: tuple[Start, ...] = ()

    @property
    def moments(self) -> str:
        """What they are before the first step, in words."""
        rounds = f"{len(self.past)} earlier round{'s' if len(self.past) > 1 else ''}"
        return f"the moments of {rounds} on the same records" if self.past else "zero moments"


Labels = Literal["given", "recovered", "joint"]
Preset = Literal["strong", "fair", "blind"]


@dataclass(frozen=True)
class Knowledge:
    """One attacker's knowledge of one shared gradient or update.

    ``shared``: ``gradient`` is d(mean cross-entropy)/d(weights); ``update`` is weights after minus weights before.
    Pixels lie in [0, 1]; the model's input is (pixel - mean) / std.
    """

    input_shape: tuple[int, int, int]
    classes: int
    shared: Literal["gradient", "update"] = "gradient"
    records: int = 1
    """Different private records behind the message."""
    batch: int | None = None
    """Records a local step, the last one of an epoch perhaps fewer; None: all of them at once."""
    epochs: int = 1
    lr: float | None = None
    """Learning rate of plain local SGD, or of Adam from known moments; None: unknown, and an update is known up to its
    scale."""
    adam: Adam | None = None
    """The optimiser where it is Adam with ``lr``."""
    hold: float = 0.0
    """Weight mu of a proximal term ``mu/2 ||w - start||^2`` in the loss of the local steps."""
    order: Literal["known", "unknown"] = "known"
    """Whether records are known to enter the local steps in the same order in every epoch."""
    labels: Labels = "recovered"
    given_labels: tuple[int, ...] | None = None
    """[records], with ``labels="given"`` alone."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    batchnorm: Literal["stored", "batch"] = "stored"
    """Statistics the client's batch normalisation used: those sent with the weights, or its batch's own."""
    public_images: int = 0
    zeros: Literal["known", "unknown"] = "known"
    """Whether a zero in the message is a value, or a coordinate that was cut off."""
    silent: tuple[str, ...] = ()
    """Parameters that were not sent."""
    low_rank: tuple[str, ...] = ()
    """Parameters of which, as matrices, the largest singular values alone were sent."""
    clip: float | None = None
    """Bound on each record's gradient; a step is their sum over ``expected``."""
    expected: float | None = None
    """Records that a step counts for, however many it has."""
    noise: float = 0.0
    """Standard deviation of the noise on every entry of a step's gradient."""

    def __post_init__(self) -> None:
        channels = self.input_shape[0]
        if self.records < 1 or self.epochs < 1 or self.classes < 2 or min(self.input_shape) < 1:
            raise ValueError("records, epochs and the input shape must be positive, classes at least 2.")
        if self.batch is not None and not 1 <= self.batch <= self.records:
            raise ValueError(f"a batch ({self.batch}) holds between 1 and all records ({self.records}).")
        if self.shared == "gradient" and self.steps != 1:
            raise ValueError("a gradient is one step: several local steps share an update.")
        if len(self.mean) not in (1, channels) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ValueError(f"mean and std need 1 or {channels} values each, std above 0.")
        if (self.labels == "given") != (self.given_labels is not None):
            raise ValueError('given_labels belong to labels="given", and only there.')
        if self.given_labels is not None and (
            len(self.given_labels) != self.records or not set(self.given_labels) <= set(range(self.classes))
        ):
            raise ValueError(f"given_labels must be {self.records} labels below {self.classes}.")

    @property
    def steps(self) -> int:
        """Local SGD steps behind the message."""
        return self.epochs * -(-self.records // (self.batch or self.records))

    @property
    def unordered(self) -> bool:
        """Whether nobody knows which of several steps of an epoch met which record."""
        return self.order == "unknown" and self.divided

    @property
    def divided(self) -> bool:
        """Whether an epoch is several steps, each on records of its own."""
        return self.steps > self.epochs

    def under(self, preset: Preset) -> Knowledge:
        """The card of a weaker attacker: what the preset withholds is forgotten. ``strong`` withholds nothing."""
        if preset not in get_args(Preset):
            raise UsageError(f"inversion: no preset '{preset}' exists. Known: {', '.join(get_args(Preset))}.")
        if preset == "strong":
            return self
        if preset == "fair":
            kept: Labels = "recovered" if self.labels == "given" else self.labels
            return replace(self, labels=kept, given_labels=None, order="unknown")
        return replace(
            self,
            labels="joint",
            given_labels=None,
            order="unknown",
            records=1,
            batch=None,
            epochs=1,
            lr=None,
            adam=None,
            mean=(0.0,),
            std=(1.0,),
            public_images=0,
        )

    def rows(self) -> dict[str, str]:
        """The card as printed, name to text."""
        statistics = "raw pixels" if not any(self.mean) and set(self.std) == {1.0} else f"{self.mean} / {self.std}"
        if len(self.mean) > 4:
            statistics = "known for each feature"
        scale = "unknown" if self.lr is None else f"{self.lr:g}"
        adam = "" if self.adam is None else f" of adam from {self.adam.moments}"
        features = self.input_shape[1:] == (1, 1)
        shape = f"{self.input_shape[0]} features" if features else str(self.input_shape)
        if features and statistics == "raw pixels":
            statistics = "as they are"
        return {
            "weights": "architecture and weights at the round",
            "shared": self.shared if self.shared == "gradient" else f"update{adam}, learning rate {scale}",
            "records": f"{self.records} ({self.batch or self.records} a step)",
            "labels": self.labels,
            "local steps": f"{self.steps} ({self.epochs} epoch{'s' if self.epochs > 1 else ''}, order {self.order})",
            **self._private(),
            "input": f"{shape} in [0, 1], mean / std: {statistics}",
            "batch normalisation": f"{self.batchnorm} statistics",
            "priors": f"{self.public_images} public records",
        }

    def _private(self) -> dict[str, str]:
        if self.clip is None:
            return {}
        words = f"each gradient to {self.clip:g}, their sum over {self.expected:g}, noise of deviation {self.noise:.2g}"
        return {"clipping": words}

    def statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """``mean`` and ``std`` as tensors [C, 1, 1] of the dtype and device of ``like``."""
        shape = (self.input_shape[0], 1, 1)
        mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device) for v in (self.mean, self.std))
        return mean.view(-1, 1, 1).expand(shape), std.view(-1, 1, 1).expand(shape)

    def to_input(self, pixels: Tensor) -> Tensor:
        """Pixels [..., C, H, W] in [0, 1] as the model's input."""
        mean, std = self.statistics(pixels)
        return (pixels - mean) / std

    def to_pixels(self, inputs: Tensor) -> Tensor:
        """The model's input [..., C, H, W] as pixels, not cut to [0, 1]."""
        mean, std = self.statistics(inputs)
        return inputs * std + mean


def as_gradient(observed: Mapping[str, Tensor], knowledge: Knowledge) -> dict[str, Tensor]:
    """The one gradient behind a message: itself, or ``-update / lr`` of a single step (``-update`` if lr is unknown).

    Raises UsageError for several local steps. After 5 of them, ``update / (lr * steps)`` taken as a gradient is far
    from the gradient at the true records, and an attack on it would measure its own mistake.
    """
    if knowledge.shared == "gradient":
        return dict(observed)
    if knowledge.steps > 1:
        raise UsageError(
            f"inversion: the update of {knowledge.steps} local steps is no gradient; use the attack 'local-steps', "
            "which simulates the steps."
        )
    scale = 1.0 if knowledge.lr is None else knowledge.lr
    return {name: -value / scale for name, value in observed.items()}
