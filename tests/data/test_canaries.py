"""Canaries: chosen and changed without a look at the coins, and coins that decide pairs and whole clients."""

from __future__ import annotations

import numpy as np
import pytest

from fedprivacy.config.base import UsageError, build
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.data.canaries import FAR, WHITE, canaries, planted
from fedprivacy.data.coins import coins, redraw, units
from fedprivacy.data.division import divide
from fedprivacy.data.duplicates import extra_copies
from fedprivacy.data.records import Dataset, Division
from fedprivacy.data.sources import load


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataConfig(dataset="digits"))


@pytest.fixture(scope="module")
def division(digits: Dataset) -> Division:
    settings = DataConfig(dataset="digits", candidates=61, public_size=10, auxiliary=20, schedule="fresh")
    return divide(digits, settings, 3, 2, 0)


def test_they_are_dealt_over_clients_and_the_same_for_every_draw_of_coins(division: Division) -> None:
    chosen = canaries(division, CanaryConfig(number=50), 0)
    assert [int(mask.sum()) for mask in chosen] == [17, 17, 16]
    again = canaries(division, CanaryConfig(number=50), 0)
    assert all(np.array_equal(a, b) for a, b in zip(chosen, again, strict=True))
    assert all(mask.all() for mask in canaries(division, CanaryConfig(), 0))
    with pytest.raises(UsageError, match="raise --candidates"):
        canaries(division, CanaryConfig(number=200), 0)


def test_a_wrong_label_is_always_wrong_and_nothing_else_changes(digits: Dataset, division: Division) -> None:
    config = CanaryConfig(kind="mislabelled", number=50)
    changed = planted(digits, division, config, 0)
    masks = canaries(division, config, 0)
    ids = np.concatenate([division.pool(k)[mask] for k, mask in enumerate(masks)])
    moved = np.flatnonzero(changed.y_train != digits.y_train)
    assert np.array_equal(moved, np.sort(ids))
    assert np.array_equal(changed.x_train, digits.x_train)
    assert planted(digits, division, CanaryConfig(number=50), 0) is digits


def test_records_from_far_away_have_no_copies(digits: Dataset, division: Division) -> None:
    changed = planted(digits, division, CanaryConfig(kind="out-of-distribution", number=60), 0)
    moved = (changed.x_train != digits.x_train).reshape(len(digits.x_train), -1).any(axis=1)
    assert int(moved.sum()) == 60
    assert extra_copies(changed.x_train) == 0
    assert changed.x_train.dtype == digits.x_train.dtype


def test_coins_do_not_tell_which_candidates_are_canaries(division: Division) -> None:
    masks = np.concatenate(canaries(division, CanaryConfig(number=90), 0))
    shares = [np.concatenate(redraw(division, 0.5, 0, s))[masks].mean() for s in range(200)]
    assert abs(np.mean(shares) - 0.5) < 4 * 0.5 / np.sqrt(200 * 90)


@pytest.mark.parametrize("kind", ["pair", "client"])
def test_one_coin_decides_both_sides_in_the_same_fold(division: Division, kind: str) -> None:
    for client, (unit, side) in enumerate(units(division, kind)):
        sizes = [len(fold) for fold in division.candidates[client]]
        assert np.array_equal(np.sort(np.unique(side[side != 0])), [-1, 1])
        assert sum(side == 1) == sum(side == -1) == sum(size // 2 for size in sizes)
        assert len(np.unique(unit[side != 0])) == (1 if kind == "client" else sum(size // 2 for size in sizes))
        flips = np.array([coins(division, 0.5, root, kind)[client] for root in range(40)])
        for number in np.unique(unit[side != 0])[:5]:
            first, second = flips[:, (unit == number) & (side == 1)], flips[:, (unit == number) & (side == -1)]
            assert (first == first[:, :1]).all()
            assert (second == ~first[:, :1]).all()
        assert not flips[:, side == 0].any()
        assert 5 < flips[:, side != 0][:, 0].sum() < 35


def test_other_coins_are_fair_and_whole_clients_stay_as_they_are(division: Division) -> None:
    with pytest.raises(ValueError, match="is fair"):
        coins(division, 0.3, 0, "pair")
    with pytest.raises(UsageError, match="inclusion must be"):
        build(RunConfig, {"canaries": {"coins": "client"}, "data": {"inclusion": 0.4}}, "test")
    with pytest.raises(UsageError, match="whole pools"):
        build(RunConfig, {"canaries": {"coins": "client", "number": 20}}, "test")


def test_orthogonal_images_share_few_pixels_and_use_all_of_them_alike(division: Division) -> None:
    dataset = load(DataConfig(dataset="digits"))
    config = CanaryConfig(kind="orthogonal")
    changed = planted(dataset, division, config, 0)
    for client, mask in enumerate(canaries(division, config, 0)):
        rows = changed.x_train[division.pool(client)[mask]].reshape(int(mask.sum()), -1).astype(np.float64) / 255
        assert set(np.unique(rows)) == {0.0, 1.0}
        assert (rows.sum(axis=1) == round(WHITE * rows.shape[1])).all()
        cosines = (rows @ rows.T / rows[0].sum())[~np.eye(len(rows), dtype=bool)]
        assert np.median(cosines) == 0
        assert rows.mean(axis=0).max() < 2 * WHITE


def test_orthogonal_features_are_orthogonal_around_their_mean() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=(80, 40)).astype(np.float32)
    labels = np.zeros(80, dtype=np.int64)
    dataset = Dataset("rows", x, labels, x[:2], labels[:2], ("a", "b"), "digest")
    division = divide(dataset, DataConfig(candidates=20, public_size=0, auxiliary=0), 2, 1, 0)
    changed = planted(dataset, division, CanaryConfig(kind="orthogonal"), 0)
    for client in range(2):
        rows = (changed.x_train[division.pool(client)] - x.mean(axis=0)) / x.std(axis=0) / FAR
        assert np.allclose(np.abs(rows), 1, atol=1e-5)
        cosines = rows @ rows.T / rows.shape[1]
        assert np.abs(cosines - np.eye(20)).mean() < 0.15


def test_opposite_halves_share_one_record_and_no_label(digits: Dataset) -> None:
    settings = DataConfig(dataset="digits", candidates=11, public_size=0, auxiliary=0)
    division = divide(digits, settings, 9, 1, 0)
    config = CanaryConfig(kind="opposite", coins="client")
    changed = planted(digits, division, config, 0)
    images = []
    for client, (_, side) in enumerate(units(division, "client")):
        pool = division.pool(client)
        own = changed.x_train[pool].reshape(len(pool), -1)
        assert (own == own[0]).all()
        images.append(own[0].astype(float))
        first, second = (set(changed.y_train[pool[side == number]].tolist()) for number in (1, -1))
        assert len(first) == len(second) == 5 and not first & second
    assert np.count_nonzero(np.triu(np.array(images) @ np.array(images).T, 1)) == 0
    others = np.setdiff1d(np.arange(len(digits.y_train)), np.concatenate([division.pool(k) for k in range(9)]))
    assert np.array_equal(changed.x_train[others], digits.x_train[others])


@pytest.mark.parametrize("wrong", [{"coins": "record", "kind": "opposite"}, {"coins": "client", "kind": "mislabelled"}])
def test_opposite_records_are_those_of_clients(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="coins = 'client'"):
        build(CanaryConfig, wrong, "canaries")
