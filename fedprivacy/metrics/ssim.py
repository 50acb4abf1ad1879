"""Structural similarity of image batches.

Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004):
Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, population covariances, borders cut. Equal to scikit-image with
``gaussian_weights=True, use_sample_covariance=False, data_range=1``; written for batches, and with a window of 7 for
images too small for one of 11.
"""

from __future__ import annotations

import numpy as np
import scipy

from fedprivacy.metrics.scores import Float

SIGMA, C1, C2 = 1.5, 0.01**2, 0.03**2


def ssim(first: Float, second: Float) -> Float:
    """SSIM [B] of two batches [B, C, H, W] with values in [0, 1], averaged over pixels and channels.

    The window has 11 pixels, or 7 where the shorter side is below 16. Raises ValueError on unequal shapes and on
    sides below 7.
    """
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(f"need two equal [B, C, H, W] batches, got {first.shape} and {second.shape}.")
    side = min(first.shape[2:])
    if side < 7:
        raise ValueError(f"SSIM needs images of at least 7 pixels a side, got {side}.")
    reach = 5 if side >= 16 else 3
    mean_a, mean_b = _blur(first, reach), _blur(second, reach)
    variance_a = _blur(first * first, reach) - mean_a * mean_a
    variance_b = _blur(second * second, reach) - mean_b * mean_b
    covariance = _blur(first * second, reach) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    below = (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    similarity: Float = (above / below).mean(axis=(1, 2, 3))
    return similarity


def _blur(images: Float, reach: int) -> Float:
    """Gaussian means over full windows only: ``reach`` pixels are lost on each side."""
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    rows = scipy.ndimage.correlate1d(images, weights, axis=2)[:, :, reach:-reach]
    blurred: Float = scipy.ndimage.correlate1d(rows, weights, axis=3)[:, :, :, reach:-reach]
    return blurred
