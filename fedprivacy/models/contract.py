"""What every architecture offers beside being a module, as a protocol in the typing sense."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from fedprivacy.config.base import UsageError


@runtime_checkable
class Classifier(Protocol):
    """A module whose forward pass is ``head(features(x))``.

    Input: floats, images [B, channels, height, width] in [0, 1], or rows of features [B, d].
    """

    head: nn.Linear
    """The last layer: ``feature_size`` in, one number a class out, or one in all for a sigmoid output."""

    @property
    def feature_size(self) -> int:
        """Width of the penultimate layer."""

    @property
    def deep(self) -> tuple[str, ...]:
        """Prefixes of the parameter names of the deep group; all other parameters are shallow, and some are."""

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer [B, feature_size]."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes], or [B, 1]: the log-odds of class 1."""


def classifier(module: nn.Module) -> Classifier:
    """The same module, typed as a :class:`Classifier`; TypeError where it is none."""
    if not isinstance(module, Classifier):
        raise TypeError(f"{type(module).__name__} has no features, head, deep and feature_size")
    return module


def deep_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Prefixes of the deep group's parameters (:attr:`Classifier.deep`). UsageError where a model has no two groups."""
    deep = tuple(getattr(module, "deep", ()))
    named = [name for name in module.state_dict() if name.startswith(deep)]
    if not 0 < len(named) < len(module.state_dict()):
        raise UsageError(
            f"model {type(module).__name__} has no two groups of layers, which this protocol sends in turn: give it an "
            "attribute deep, such as ('head.',), the prefixes of the parameters of one group."
        )
    return deep
