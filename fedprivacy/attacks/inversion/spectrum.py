"""Images as coefficients whose expected size is that of natural images: a preconditioner that knows no image.

Amplitudes of natural images fall like one over the spatial frequency, and colour differences are weaker than
brightness (Field 1987, "Relations between the statistics of natural images and the response properties of cortical
cells"; Ruderman, Cronin, Chiao 1998, "Statistics of cone responses to natural images"). An optimiser that works on
``u`` with ``image = B u``, B = colours x cosine transform x amplitudes, first moves what images are made of. The
objective and its minima stay those of the pixels: B is invertible.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))


def cosine_basis(size: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform (type II) [size, size] as rows: frequency k has k half cycles."""
    k = torch.arange(size, dtype=like.dtype, device=like.device)
    basis = torch.cos(math.pi / size * k[:, None] * (k + 0.5)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


class NaturalSpectrum:
    """The linear map B for images [..., C, H, W] of one shape.

    Amplitude ``1 / (1 + f / corner)`` for f half cycles an image, times ``chroma`` for the two colour differences of
    three-channel images.
    """

    def __init__(self, shape: tuple[int, int, int], like: Tensor, corner: float = 4.0, chroma: float = 0.5) -> None:
        channels, height, width = shape
        self.rows, self.columns = cosine_basis(height, like), cosine_basis(width, like)
        f = torch.hypot(
            torch.arange(height, dtype=like.dtype, device=like.device)[:, None],
            torch.arange(width, dtype=like.dtype, device=like.device),
        )
        self.amplitude = (1 / (1 + f / corner)).expand(shape).clone()
        self.colours: Tensor | None = None
        if channels == 3:
            axes = torch.tensor(OPPONENT, dtype=like.dtype, device=like.device)
            self.colours = axes / torch.linalg.vector_norm(axes, dim=1, keepdim=True)
            self.amplitude[1:] *= chroma

    def image(self, u: Tensor) -> Tensor:
        """``B u``: coefficients [..., C, H, W] to an image of that shape."""
        plain = self.rows.T @ (self.amplitude * u) @ self.columns
        return plain if self.colours is None else torch.einsum("kc,...khw->...chw", self.colours, plain)

    def adjoint(self, slope: Tensor) -> Tensor:
        """``B^T slope``: a derivative in the image [..., C, H, W] as one in the coefficients."""
        if self.colours is not None:
            slope = torch.einsum("kc,...chw->...khw", self.colours, slope)
        return self.amplitude * (self.rows @ slope @ self.columns.T)
