from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from torch import Tensor

from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.spectrum import NaturalSpectrum
from fedprivacy.attacks.inversion.variables import variables_of

LIKE = torch.zeros(1, dtype=torch.float64)


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_grey_images_are_scaled_cosine_coefficients() -> None:
    """The oracle is scipy's transform: the coefficients of ``B u`` are u times the amplitude."""
    u, spectrum = _draw(0, 1, 6, 9), NaturalSpectrum((1, 6, 9), LIKE, corner=4)
    coefficients = torch.from_numpy(dctn(spectrum.image(u)[0].numpy(), norm="ortho"))
    rows, columns = torch.arange(6)[:, None], torch.arange(9)
    torch.testing.assert_close(coefficients, u[0] / (1 + torch.hypot(rows.double(), columns.double()) / 4))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 100), st.sampled_from([1, 2, 3]), st.integers(1, 7), st.integers(1, 7))
def test_adjoint(seed: int, channels: int, height: int, width: int) -> None:
    spectrum = NaturalSpectrum((channels, height, width), LIKE)
    u, v = _draw(seed, 2, channels, height, width), _draw(seed + 1, 2, channels, height, width)
    assert float((spectrum.image(u) * v).sum()) == pytest.approx(float((u * spectrum.adjoint(v)).sum()), abs=1e-9)


def test_brightness_is_cheap_and_colour_costs_twice() -> None:
    spectrum = NaturalSpectrum((3, 4, 4), LIKE, chroma=0.5)
    u = torch.zeros(3, 3, 4, 4, dtype=torch.float64)
    u[0, 0, 0, 0] = u[1, 1, 0, 0] = u[2, 2, 0, 0] = 1
    images = spectrum.image(u)
    torch.testing.assert_close(images[0], torch.full_like(images[0], 1 / 4 / 3**0.5))
    norms = torch.linalg.vector_norm(images.flatten(1), dim=1)
    torch.testing.assert_close(norms, torch.tensor([1.0, 0.5, 0.5]).double())


def test_every_image_can_be_reached() -> None:
    spectrum = NaturalSpectrum((3, 3, 3), LIKE)
    matrix = spectrum.image(torch.eye(27, dtype=torch.float64).view(27, 3, 3, 3)).flatten(1)
    assert int(torch.linalg.matrix_rank(matrix)) == 27


def test_variables_start_where_they_say_and_have_their_adjoint() -> None:
    card = Knowledge((3, 5, 4), 2, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    for space in ("pixels", "spectrum"):
        variables = variables_of(space, card, LIKE)  # type: ignore[arg-type]
        start = variables.start((3, 2, 3, 5, 4), torch.Generator().manual_seed(0))
        again = variables.start((3, 2, 3, 5, 4), torch.Generator().manual_seed(0))
        assert torch.equal(start, again) and not torch.equal(start[1], start[2])
        zero = variables.inputs(torch.zeros_like(start))
        slope = _draw(3, *start.shape)
        moved = float(((variables.inputs(start) - zero) * slope).sum())
        assert moved == pytest.approx(float((start * variables.adjoint(slope)).sum()))
    torch.testing.assert_close(card.to_pixels(variables.inputs(start))[0], torch.full((2, 3, 5, 4), 0.5).double())
