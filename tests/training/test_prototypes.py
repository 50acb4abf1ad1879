"""Prototypes: class means, their mean, the pull, and the nearest one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from fedprivacy.training import prototypes


def batch(seed: int, records: int = 12, width: int = 3, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    features = torch.from_numpy(draw.normal(size=(records, width)).astype(np.float32))
    return features, torch.from_numpy(draw.integers(0, classes, records))


@given(st.integers(0, 2**32 - 1))
def test_class_means(seed: int) -> None:
    features, labels = batch(seed)
    own = prototypes.of_classes(features, labels, 5, with_counts=True)
    assert own.classes.tolist() == sorted(set(labels.tolist()))
    for mean, label, count in zip(own.means, own.classes.tolist(), own.counts.tolist(), strict=True):
        rows = features[labels == label].double()
        assert len(rows) == count
        assert torch.allclose(mean.double(), rows.mean(dim=0), atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_by_counts_the_mean_is_that_of_all_records(seed: int) -> None:
    features, labels = batch(seed, records=20)
    halves = [(features[:7], labels[:7]), (features[7:], labels[7:])]
    merged = prototypes.merged([prototypes.of_classes(f, y, 5, with_counts=True) for f, y in halves])
    whole = prototypes.of_classes(features, labels, 5)
    assert merged.classes.tolist() == whole.classes.tolist()
    assert torch.allclose(merged.means, whole.means, atol=1e-5)


def test_uniform_mean_divides_by_the_holders_of_a_class_alone() -> None:
    first = prototypes.of_classes(torch.tensor([[2.0], [2.0]]), torch.tensor([0, 0]), 3)
    second = prototypes.of_classes(torch.tensor([[4.0], [9.0]]), torch.tensor([0, 2]), 3)
    merged = prototypes.merged([first, second])
    assert merged.classes.tolist() == [0, 2]
    assert merged.means[:, 0].tolist() == [3.0, 9.0]


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_parties_does_not_matter(seed: int) -> None:
    parts = [prototypes.of_classes(*batch(seed + i), 5) for i in range(3)]
    forward, backward = prototypes.merged(parts), prototypes.merged(parts[::-1])
    assert torch.equal(forward.classes, backward.classes)
    assert torch.allclose(forward.means, backward.means, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_pull_and_its_gradient(seed: int) -> None:
    features, labels = batch(seed)
    means, present = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)), torch.tensor([1.0, 0, 1, 1, 0])
    own = features.clone().requires_grad_()
    value = prototypes.pull(own, labels, means, present)
    value.backward()
    f, p = features.double().numpy(), means.double().numpy()[labels]
    mask = present.double().numpy()[labels][:, None]
    assert float(value.detach()) == pytest.approx(float(((f - p) ** 2 * mask).sum() / f.size), rel=1e-4, abs=1e-7)
    np.testing.assert_allclose(own.grad.numpy(), 2 * (f - p) * mask / f.size, rtol=1e-3, atol=1e-6)


def test_at_the_prototypes_there_is_no_pull() -> None:
    features, labels = batch(0)
    means, present = prototypes.table(prototypes.of_classes(features, labels, 5), 5)
    own = means[labels].clone().requires_grad_()
    prototypes.pull(own, labels, means, present).backward()
    assert float(own.grad.abs().max()) == 0


def test_nearest_prototype_is_that_of_scipy() -> None:
    features, _ = batch(3, records=30)
    means, present = prototypes.table(prototypes.of_classes(*batch(4, records=30), 5), 6)
    near = prototypes.nearness(features, means, present)
    expected = cdist(features.numpy(), means.numpy()[:5], "sqeuclidean")
    np.testing.assert_allclose(-near[:, :5].numpy(), expected, rtol=1e-3, atol=1e-4)
    assert torch.isinf(near[:, 5]).all()


def test_renewed_keeps_classes_that_nobody_sent() -> None:
    old = prototypes.of_classes(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 3]), 5)
    new = prototypes.of_classes(torch.tensor([[7.0], [8.0]]), torch.tensor([1, 3]), 5)
    both = prototypes.renewed(old, new)
    assert both.classes.tolist() == [0, 1, 3]
    assert both.means[:, 0].tolist() == [1.0, 7.0, 8.0]


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        prototypes.merged([])


def test_round_trip_through_a_state() -> None:
    own = prototypes.of_classes(*batch(0), 5)
    back = prototypes.of_part(prototypes.to_part(own))
    assert torch.equal(back.means, own.means)
    assert torch.equal(back.classes, own.classes)
