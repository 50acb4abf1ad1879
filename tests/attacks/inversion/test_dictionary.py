"""Public records as a dictionary: mixtures that were built come out, and a client that is average shows nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedprivacy.attacks.inversion.dictionary import RIDGES, Dictionary, Mixture, with_mixture
from fedprivacy.attacks.inversion.recovered import Recovered

RECORDS, CLASSES, WORLDS, ENTRIES = 60, 3, 6, 40


class World:
    """Records of three classes whose gradients hold their pixels, and clients whose changes are sums of them."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.labels = np.arange(RECORDS) % CLASSES
        self.mix = self.draw.normal(size=(CLASSES * 5, ENTRIES))
        self.pixels = self.images(self.labels)
        self.g = torch.from_numpy(self.gradients(self.pixels, self.labels))
        self.coins = self.draw.random((WORLDS, RECORDS)) < 0.3
        self.usual = torch.from_numpy(self.draw.normal(size=ENTRIES))
        self.changes = torch.from_numpy(self.coins).double() @ self.g + self.usual
        gram = self.g @ self.g.T
        self.found = Dictionary(gram, self.changes @ self.g.T, self.coins, self.pixels, self.labels, CLASSES)

    def images(self, labels: np.ndarray) -> np.ndarray:
        return self.draw.random((len(labels), 1, 2, 2)) * 0.5 + labels[:, None, None, None] * 0.2

    def gradients(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """[n, entries]: a fixed mixture of the pixels and a one, in the place of the class."""
        flat = np.concatenate([pixels.reshape(len(pixels), -1), np.ones((len(pixels), 1))], axis=1)
        wide = (np.eye(CLASSES)[labels][:, :, None] * flat[:, None, :]).reshape(len(pixels), -1)
        return np.asarray(wide @ self.mix)


def test_a_strangers_counts_and_mean_images_come_out_exactly() -> None:
    """None of his records is in the dictionary; all that is used is that gradients are linear in what is sought."""
    world = World(0)
    labels = np.array([0] * 9 + [1] * 4 + [2] * 6)
    pixels = world.images(labels)
    change = torch.from_numpy(world.gradients(pixels, labels).sum(0)) + world.usual
    shares = world.found.shares(world.g @ change, 1e-9)
    counts, images = world.found.counts(shares), world.found.images(shares)
    np.testing.assert_allclose(counts, [9, 4, 6], atol=1e-4)
    np.testing.assert_allclose(images, np.stack([pixels[labels == c].mean(0) for c in range(3)]), atol=1e-4)
    away = float((change - world.changes.mean(0)).square().sum())
    assert world.found.unexplained(world.g @ change, shares, away) < 1e-6 * away
    assert world.found.answer == pytest.approx(1.0)


def test_an_average_client_shows_the_public_means() -> None:
    world = World(1)
    average = world.found.played.mean(0)
    usual = world.found.coins.mean(0).numpy()
    shares = world.found.shares(average, RIDGES[-1])
    counts, images = world.found.counts(shares), world.found.images(shares)
    assert shares.sum() == pytest.approx(usual.sum(), rel=0.1)
    np.testing.assert_allclose(counts, np.full(3, usual.sum() / 3), rtol=0.25)
    np.testing.assert_allclose(images, world.found.images(np.ones(RECORDS)), atol=0.05)


def test_the_ridge_follows_how_much_of_the_change_is_noise() -> None:
    clear = World(2)
    assert clear.found.best_ridges() == (min(RIDGES), min(RIDGES))
    clear.found.played += 300 * torch.from_numpy(clear.draw.normal(size=clear.changes.shape)) @ clear.g.T
    assert min(clear.found.best_ridges()) >= 300


def test_a_class_of_which_little_is_seen_stays_near_the_public_mean() -> None:
    """Counts that come out near nothing would make any noise a picture."""
    world = World(4)
    shares = np.full(RECORDS, 0.3)
    shares[world.labels == 1] = 1e-3 * world.draw.normal(size=20)
    np.testing.assert_allclose(world.found.images(shares), world.found.images(np.ones(RECORDS)), atol=0.01)


def test_training_that_does_not_follow_its_records_is_told() -> None:
    world = World(3)
    with pytest.raises(ValueError, match="does not follow its records"):
        Dictionary(world.found.gram, -world.found.played, world.coins, world.pixels, world.labels, CLASSES)


@pytest.mark.parametrize("loss", [0.3, 0.5, 0.0])
def test_it_goes_before_the_others_whatever_the_losses(loss: float) -> None:
    """They are of different models of the training: neither says which of the two is nearer."""
    grey = np.full((3, 1, 2, 2), 0.5)
    other = Recovered(1, 0, 1, "classes", grey, np.arange(3), "cosine", 0.4, {"cosine": grey})
    mixture = Mixture(np.ones(3), grey + 0.1, loss)
    assert with_mixture(other, None) is other
    chosen = with_mixture(other, mixture)
    assert chosen.attack == "dictionary" and chosen.loss == loss and chosen.counts is not None
    assert set(chosen.others) == {"cosine", "dictionary"}
    np.testing.assert_array_equal(chosen.images, mixture.images)
