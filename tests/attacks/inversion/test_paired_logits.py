from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fedprivacy.attacks.inversion.pli import (
    InversionNetwork,
    PliSettings,
    PublicRound,
    invert_classes,
    pairs_of,
    prior_images,
    target_pairs,
    train_inverter,
)

CLASSES, SHAPE = 3, (1, 8, 8)
FAST = PliSettings(lr=2e-3, epochs=6, width=32)


def _public(count: int, seed: int, told: float) -> PublicRound:
    """Class means plus noise; the server's answers tell the class with strength ``told``, the client's fully."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    means = _means()
    pixels = (means[labels] + 0.05 * torch.randn((count, *SHAPE), generator=generator)).clamp(0, 1)
    noise = torch.randn((2, count, CLASSES), generator=generator)
    marks = torch.eye(CLASSES)[labels]
    return PublicRound(pixels, 6 * told * marks + noise[0], 12 * marks + noise[1], labels)


def _means() -> Tensor:
    return torch.rand((CLASSES, *SHAPE), generator=torch.Generator().manual_seed(5)).round()


def test_target_pairs_sum_to_one_each() -> None:
    pairs = target_pairs(10)
    assert pairs.shape == (10, 20)
    torch.testing.assert_close(pairs[:, :10].sum(1), torch.ones(10))
    e = math.exp(1 / 5)
    assert float(pairs[4, 4]) == pytest.approx(e / (9 + e)) and float(pairs[4, 0]) == pytest.approx(1 / (9 + e))
    assert torch.equal(pairs[:, 10:], torch.eye(10)) and torch.equal(target_pairs(10, True), torch.eye(10))


def test_pairs_are_softened_distributions_of_server_then_client() -> None:
    server, client = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 6.0]])
    pair = pairs_of(server, client)[0].tolist()
    assert pair == pytest.approx(
        [1 / (1 + math.exp(-1)), 1 / (1 + math.e), 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))]
    )
    assert pairs_of(server + 7, client - 2)[0].tolist() == pytest.approx(pair)
    assert pairs_of(server, client, client_only=True).shape == (1, 2)


def test_priors() -> None:
    public = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    labels = torch.tensor([0, 0, 2, 2])
    assert prior_images(public, labels, 3)[:, 0, 0, 0].tolist() == [0.5, 1.5, 2.5]
    assert prior_images(public, None, 3)[:, 0, 0, 0].tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize(
    ("shape", "first"),
    [((3, 64, 64), 1024), ((3, 32, 32), 512), ((1, 28, 28), 512), ((3, 25, 40), 1024), ((1, 8, 8), 128)],
)
def test_network_fits_every_size_with_widths_scaled_to_it(shape: tuple[int, int, int], first: int) -> None:
    network = InversionNetwork(4, shape)
    assert network.layers[0].out_channels == first
    images = network(torch.rand(2, 4, generator=torch.Generator().manual_seed(0))).detach()
    assert images.shape == (2, *shape) and float(images.min()) >= 0 and float(images.max()) <= 1


def test_planted_class_images_are_learned_and_permuted_pairs_are_not() -> None:
    """Pairs that tell the class give each class its own image; pairs of other records give the same mixture to all."""
    prior = torch.full((CLASSES, *SHAPE), 0.5)
    told = [_public(60, seed, 1.0) for seed in (0, 1)]
    order = torch.randperm(60, generator=torch.Generator().manual_seed(9))
    null = [PublicRound(r.pixels, r.server_logp[order], r.client_logp[order], r.labels) for r in told]
    hits = []
    for rounds in (told, null):
        images = invert_classes(train_inverter(rounds, prior, 0, FAST), CLASSES)
        errors = (images[:, None] - _means()[None]).square().flatten(2).mean(2)
        hits.append([int(c) for c in errors.argmin(1)])
        spread = float(images.std(0).mean())
        assert spread > 0.2 if rounds is told else spread < 0.2
    assert hits[0] == [0, 1, 2]


def test_training_is_deterministic_and_uses_no_ambient_seed() -> None:
    prior = prior_images(_public(12, 0, 1.0).pixels, None, CLASSES)
    state = torch.get_rng_state()
    first, second, other = (
        invert_classes(train_inverter([_public(12, 0, 1.0)], prior, root, FAST), CLASSES) for root in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_strong_prior_pulls_towards_it_and_the_ablation_runs() -> None:
    fold = _public(30, 0, 0.0)
    dark = torch.zeros(CLASSES, *SHAPE)
    means = [
        float(
            invert_classes(
                train_inverter([fold], dark, 0, PliSettings(2e-3, epochs=6, width=32, prior_weight=w)), CLASSES
            ).mean()
        )
        for w in (0.0, 20.0)
    ]
    assert means[1] < means[0] - 0.1
    ablation = PliSettings(2e-3, epochs=1, width=16, client_only=True)
    network = train_inverter([PublicRound(fold.pixels, fold.server_logp, fold.client_logp)], dark, 0, ablation)
    assert invert_classes(network, CLASSES, client_only=True).shape == (CLASSES, *SHAPE)
