"""Features of a row, and images that stand for a named thing."""

from __future__ import annotations

import numpy as np
import pytest

from fedprivacy.metrics.features import feature_accuracy, prior_row
from fedprivacy.metrics.images import score_images, score_pairs


def test_binary_features_round_and_others_must_be_near() -> None:
    truth = np.array([[1.0, 0.0, 0.50, 0.2]])
    guess = np.array([[0.51, 0.6, 0.54, 0.3]])
    assert feature_accuracy(guess, truth, [1, 1, 0, 0]).tolist() == [0.5]
    assert feature_accuracy(truth, truth, [1, 1, 0, 0]).tolist() == [1.0]
    with pytest.raises(ValueError, match="equal"):
        feature_accuracy(guess[0], truth, [1, 1, 0, 0])


def test_the_prior_is_the_majority() -> None:
    rows = np.array([[1, 0, 0.2], [1, 0, 0.4], [0, 1, 0.9]])
    assert prior_row(rows).tolist() == [1, 0, 0.4]


def test_pairs_are_not_reordered() -> None:
    images = np.random.default_rng(0).random((3, 1, 8, 8))
    turned = images[[1, 2, 0]]
    assert (score_images(turned, images, images[0]).psnr == 100).all()
    assert (score_pairs(turned, images).psnr < 40).all() and (score_pairs(images, images).psnr == 100).all()
    small = images[:, :, :3, :3]
    assert np.isnan(score_pairs(small, small).ssim).all()
    with pytest.raises(ValueError, match="as many"):
        score_pairs(images[:2], images)


def test_a_feature_split_in_half_is_guessed_as_one_of_both() -> None:
    public = np.array([[0.0], [1.0], [1.0], [0.0]])
    truths = np.array([[0.0], [1.0]])
    guess = np.repeat(prior_row(public)[None], 2, axis=0)
    assert feature_accuracy(guess, truths, [True]).mean() == 0.5
