"""What an attack varies: the model's input itself, or coefficients of natural images around mid-grey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.spectrum import NaturalSpectrum

Space = Literal["pixels", "spectrum"]
Penalty = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Inputs [P, B, C, H, W] -> value [P] and its derivative in the inputs."""


class Variables(Protocol):
    """An affine map from optimiser variables u [P, B, C, H, W] to model inputs of the same shape."""

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Starting points [restarts, B, C, H, W]."""

    def inputs(self, u: Tensor) -> Tensor:
        """Variables as model inputs."""

    def adjoint(self, slope: Tensor) -> Tensor:
        """A derivative in the inputs as one in the variables."""


class PixelVariables:
    """u is the model's input; starts are standard normal, as Zhu, Liu, Han (2019) draw them."""

    def __init__(self, like: Tensor) -> None:
        self._like = like

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(self._like)

    def inputs(self, u: Tensor) -> Tensor:
        """u itself."""
        return u

    def adjoint(self, slope: Tensor) -> Tensor:
        """The slope itself."""
        return slope


class SpectrumVariables:
    """``pixel = 1/2 + B u`` with B of :class:`NaturalSpectrum`; the first start is grey, u = 0.

    Further starts add a faint random image of natural spectrum, u normal with deviation 1/4: a start of the contrast
    of a photograph takes several times as long, for its own content must be undone first.
    """

    def __init__(self, knowledge: Knowledge, like: Tensor) -> None:
        self._spectrum = NaturalSpectrum(knowledge.input_shape, like)
        self._mean, self._std = knowledge.statistics(like)
        self._like = like

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Grey first, then faint random images."""
        u = 0.25 * torch.randn(shape, generator=generator, dtype=torch.float64).to(self._like)
        u[0] = 0
        return u

    def inputs(self, u: Tensor) -> Tensor:
        """``(1/2 + B u - mean) / std``."""
        return (self._spectrum.image(u) + (0.5 - self._mean)) / self._std

    def adjoint(self, slope: Tensor) -> Tensor:
        """``B^T (slope / std)``."""
        return self._spectrum.adjoint(slope / self._std)


def variables_of(space: Space, knowledge: Knowledge, like: Tensor) -> Variables:
    """The variables named ``space``."""
    return PixelVariables(like) if space == "pixels" else SpectrumVariables(knowledge, like)
