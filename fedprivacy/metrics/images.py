"""Scores of reconstructed images against the true ones: one-to-one matching, MSE, PSNR, SSIM.

The order of a batch is not part of what an attack must find, so reconstructions are matched to truths first, and one
to one: many copies of one image recover one image. Only the examiner, who holds the truth, calls this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from fedprivacy.metrics.intervals import Interval, clopper_pearson
from fedprivacy.metrics.scores import Float, Int
from fedprivacy.metrics.ssim import ssim

PSNR_CAP = 100.0
SMALLEST = 7


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Scores [B], one per true image. ``match`` is the reconstruction it got, -1 for the mean image."""

    mse: Float
    psnr: Float
    ssim: Float
    match: Int


def as_images(values: ArrayLike, name: str = "images") -> Float:
    """``values`` as finite float64 [B, C, H, W] cut to [0, 1]; raises ValueError on another shape or NaN."""
    images = np.asarray(values, dtype=np.float64)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{name} must have shape [B, C, H, W], got {images.shape}.")
    if not np.isfinite(images).all():
        raise ValueError(f"{name} hold values that are not finite: a failed restart is no reconstruction.")
    return np.clip(images, 0.0, 1.0)


def pairwise_mse(first: ArrayLike, second: ArrayLike) -> Float:
    """Mean squared error per pixel [A, B] between every image of ``first`` [A, C, H, W] and ``second`` [B, ...]."""
    left, right = as_images(first), as_images(second)
    if left.shape[1:] != right.shape[1:]:
        raise ValueError(f"images differ in shape: {left.shape[1:]} and {right.shape[1:]}.")
    if not left.shape[0] or not right.shape[0]:
        return np.zeros((left.shape[0], right.shape[0]))
    size = int(np.prod(left.shape[1:]))
    errors: Float = scipy.spatial.distance.cdist(left.reshape(-1, size), right.reshape(-1, size), "sqeuclidean") / size
    return errors


def psnr(mse: ArrayLike) -> Float:
    """Peak signal-to-noise ratio in dB for values in [0, 1], at most 100: -10 log10(mse)."""
    decibels: Float = -10 * np.log10(np.maximum(np.asarray(mse, dtype=np.float64), 10 ** (-PSNR_CAP / 10)))
    return decibels


def score_images(reconstructions: ArrayLike, truths: ArrayLike, mean_image: ArrayLike) -> ImageScores:
    """Scores of ``reconstructions`` [R, C, H, W] against ``truths`` [B, C, H, W], pixels in [0, 1] (cut to it).

    The assignment has the least total MSE (Hungarian algorithm). Surplus reconstructions stay unmatched; missing ones
    (R < B, even R = 0) count as ``mean_image`` [C, H, W], the mean of the public images. Chance rows go through the
    same call. SSIM of images below 7 pixels a side is NaN. Raises ValueError on shapes and on values that
    are not finite.
    """
    true_images = as_images(truths, "truths")
    guesses = as_images(reconstructions, "reconstructions")
    blank = as_images(np.asarray(mean_image)[None], "mean_image")
    if not true_images.shape[0] or not true_images.shape[1:] == guesses.shape[1:] == blank.shape[1:]:
        raise ValueError(
            f"shapes differ: truths {true_images.shape}, reconstructions {guesses.shape}, mean {blank.shape[1:]}."
        )
    missing = max(0, true_images.shape[0] - guesses.shape[0])
    offered = np.concatenate([guesses, np.repeat(blank, missing, axis=0)])
    errors = pairwise_mse(true_images, offered)
    rows, columns = scipy.optimize.linear_sum_assignment(errors)
    mse = errors[rows, columns]
    match = np.where(columns < guesses.shape[0], columns, -1).astype(np.int64)
    return ImageScores(mse, psnr(mse), _similarity(true_images, offered[columns]), match)


def score_pairs(reconstructions: ArrayLike, truths: ArrayLike) -> ImageScores:
    """Scores of ``reconstructions`` [B, C, H, W] each against the truth of the same place; cut to [0, 1].

    For images that stand for a named thing, such as a class, and for guesses chosen one a truth.
    """
    guesses, true_images = as_images(reconstructions, "reconstructions"), as_images(truths, "truths")
    if guesses.shape != true_images.shape or not len(true_images):
        raise ValueError(f"need as many images as truths, got {guesses.shape} and {true_images.shape}.")
    mse: Float = np.square(guesses - true_images).mean(axis=(1, 2, 3))
    return ImageScores(mse, psnr(mse), _similarity(true_images, guesses), np.arange(len(mse)))


def _similarity(first: Float, second: Float) -> Float:
    """SSIM [B]; NaN for what is too small to have any, such as a row of features."""
    if min(first.shape[2:]) < SMALLEST:
        return np.full(len(first), np.nan)
    return ssim(first, second)


def nearest_images(queries: ArrayLike, pool: ArrayLike) -> Int:
    """Index [Q] into ``pool`` [P, C, H, W] of the image with the least MSE to each of ``queries`` [Q, C, H, W]."""
    errors = pairwise_mse(queries, pool)
    if not errors.shape[1]:
        raise ValueError("the pool holds no image.")
    nearest: Int = errors.argmin(axis=1)
    return nearest


def share_above(decibels: ArrayLike, threshold: float, level: float = 0.95) -> Interval:
    """Share of images whose PSNR ``decibels`` [B] lies above ``threshold`` (30: recognised, 60: exact to the eye)."""
    values = np.asarray(decibels, dtype=np.float64)
    return clopper_pearson(int((values > threshold).sum()), values.size, level)
