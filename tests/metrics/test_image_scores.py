"""Matching, PSNR and SSIM of reconstructed images, with brute force and scikit-image as oracles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fedprivacy.metrics import bootstrap_mean, nearest_images, psnr, score_images, share_above
from fedprivacy.metrics.images import pairwise_mse
from fedprivacy.metrics.ssim import ssim


def images(seed: int, count: int, side: int = 8, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, channels, side, side))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 5))
def test_matching_has_the_least_total_error_of_all_assignments(seed: int, truths: int, guesses: int) -> None:
    true_images, offered = images(seed, truths), images(seed + 1, guesses)
    mean = images(seed + 2, 1)[0]
    found = score_images(offered, true_images, mean)
    padded = [*offered, *[mean] * max(0, truths - guesses)]
    errors = np.array([[((t - g) ** 2).mean() for g in padded] for t in true_images])
    best = min(
        sum(errors[i, p] for i, p in enumerate(order)) for order in itertools.permutations(range(len(padded)), truths)
    )
    assert found.mse.sum() == pytest.approx(best)
    used = found.match[found.match >= 0]
    assert len(set(used.tolist())) == used.size == min(truths, guesses)


def test_order_does_not_matter_and_exact_images_score_perfectly() -> None:
    true_images = images(0, 6, side=16, channels=3)
    order = np.random.default_rng(1).permutation(6)
    found = score_images(true_images[order], true_images, true_images.mean(0))
    np.testing.assert_array_equal(order[found.match], np.arange(6))
    assert (found.mse == 0).all()
    assert (found.psnr == 100).all()
    np.testing.assert_allclose(found.ssim, 1)


def test_many_copies_of_one_image_recover_one() -> None:
    true_images = images(2, 5)
    found = score_images(np.repeat(true_images[:1], 5, axis=0), true_images, true_images.mean(0))
    assert (found.psnr > 30).sum() == 1
    assert share_above(found.psnr, 30).value == 0.2


def test_missing_reconstructions_count_as_the_mean_image() -> None:
    true_images = images(3, 4)
    mean = images(4, 50).mean(0)
    found = score_images(true_images[2:3], true_images, mean)
    assert found.match.tolist() == [-1, -1, 0, -1]
    np.testing.assert_allclose(found.mse[[0, 1, 3]], ((true_images[[0, 1, 3]] - mean) ** 2).mean((1, 2, 3)))
    none = score_images(np.zeros((0, 1, 8, 8)), true_images, mean)
    assert (none.match == -1).all()
    extra = score_images(np.concatenate([images(5, 3), true_images]), true_images, mean)
    assert extra.match.tolist() == [3, 4, 5, 6]


def test_values_are_cut_to_the_unit_interval() -> None:
    true_images = np.round(images(6, 2))
    stretched = 3 * true_images - 1
    assert (score_images(stretched, true_images, true_images[0]).psnr == 100).all()


def test_psnr_equals_scikit_image_and_is_capped() -> None:
    first, second = images(7, 1)[0], images(8, 1)[0]
    expected = peak_signal_noise_ratio(first, second, data_range=1)
    assert psnr(((first - second) ** 2).mean()) == pytest.approx(expected)
    np.testing.assert_allclose(psnr([1.0, 0.1, 1e-3, 1e-10, 0.0]), [0, 10, 30, 100, 100])


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (28, 1), (32, 3)])
def test_ssim_equals_scikit_image(side: int, channels: int) -> None:
    first = images(9, 3, side, channels)
    second = np.clip(first + 0.2 * np.random.default_rng(10).normal(size=first.shape), 0, 1)
    expected = [
        structural_similarity(
            a, b, data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(ssim(first, second), expected, atol=1e-12)


def test_ssim_of_small_images_equals_a_plain_window() -> None:
    first, second = images(11, 2, 9), images(12, 2, 9)
    profile = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2)
    window = np.outer(profile, profile) / profile.sum() ** 2
    for image in range(2):
        values = []
        for row, column in itertools.product(range(3), repeat=2):
            a = first[image, 0, row : row + 7, column : column + 7]
            b = second[image, 0, row : row + 7, column : column + 7]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
            both = (window * a * b).sum() - mean_a * mean_b
            top = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
            values.append(top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
        assert ssim(first, second)[image] == pytest.approx(np.mean(values), abs=1e-12)


@given(st.integers(0, 10_000))
def test_ssim_is_symmetric_and_one_only_at_equality(seed: int) -> None:
    first, second = images(seed, 2), images(seed + 1, 2)
    np.testing.assert_allclose(ssim(first, second), ssim(second, first), atol=1e-12)
    assert (np.abs(ssim(first, second)) < 1).all()
    np.testing.assert_allclose(ssim(first, first), 1)


def test_nearest_images_and_pairwise_mse() -> None:
    pool, queries = images(13, 40), images(14, 7)
    errors = ((queries[:, None] - pool[None]) ** 2).mean((2, 3, 4))
    np.testing.assert_allclose(pairwise_mse(queries, pool), errors)
    np.testing.assert_array_equal(nearest_images(queries, pool), errors.argmin(1))
    np.testing.assert_array_equal(nearest_images(pool[:5], pool), np.arange(5))


def test_noise_is_no_better_than_the_mean_image_and_a_leak_is() -> None:
    true_images, mean = images(15, 20), images(16, 200).mean(0)
    blank = score_images(np.zeros((0, 1, 8, 8)), true_images, mean)
    noise = score_images(images(17, 20), true_images, mean)
    leak = score_images(true_images + 0.005, true_images, mean)
    assert noise.mse.mean() > blank.mse.mean()
    interval = bootstrap_mean(leak.psnr, np.random.default_rng(0))
    assert interval.low > 40 > psnr(blank.mse).max()
    assert share_above(leak.psnr, 30).low > 0.8 > 0.2 > share_above(noise.psnr, 30).high


def test_bad_input_is_refused() -> None:
    true_images = images(18, 2)
    with pytest.raises(ValueError, match="B, C, H, W"):
        score_images(true_images[0], true_images, true_images[0])
    with pytest.raises(ValueError, match="not finite"):
        score_images(np.full_like(true_images, np.nan), true_images, true_images[0])
    with pytest.raises(ValueError, match="shapes differ"):
        score_images(images(0, 2, 9), true_images, true_images[0])
    with pytest.raises(ValueError, match="shapes differ"):
        score_images(true_images, true_images[:0], true_images[0])
    with pytest.raises(ValueError, match="7 pixels"):
        ssim(images(0, 1, 6), images(1, 1, 6))
    with pytest.raises(ValueError, match="no image"):
        nearest_images(true_images, true_images[:0])
    with pytest.raises(ValueError, match="differ in shape"):
        pairwise_mse(true_images, images(0, 2, 9))
