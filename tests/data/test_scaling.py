"""Feature columns on one scale: by public knowledge, and never by private rows in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.data.division import divide
from fedprivacy.data.records import Dataset
from fedprivacy.data.scaling import by_bounds, by_rows, public_rows, scaled
from fedprivacy.study.run import Plan, execute

CONFIG = DataConfig(candidates=20, public_size=10, auxiliary=15, warmup=5)


def rows(count: int) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(50, 9, (count, 4)).astype(np.float32)
    x[:, 1] = rng.integers(0, 2, count)
    y = np.arange(count) % 2
    return Dataset("made", x, y, x[:10] + 3, y[:10], ("0", "1"), "digest")


def test_the_default_is_scikit_learns_scale_of_the_public_rows() -> None:
    data = rows(200)
    division = divide(data, CONFIG, 3, 2, 0)
    known = public_rows(division)
    assert len(known) == 5 + 2 * 10 + 15
    made = scaled(data, division, CONFIG)
    scaler = StandardScaler().fit(data.x_train[known].astype(np.float64))
    for column in (0, 2, 3):
        assert np.allclose(made.x_train[:, column], scaler.transform(data.x_train)[:, column], atol=1e-5)
        assert np.allclose(made.x_test[:, column], scaler.transform(data.x_test)[:, column], atol=1e-5)
    assert np.array_equal(made.x_train[:, 1], data.x_train[:, 1])
    assert made.notes == ("standardised 3 of 4 columns by 40 public and auxiliary records",)


def test_no_private_row_moves_the_default_scale() -> None:
    """Whatever the clients hold, every other record is stored as before, bit for bit."""
    data = rows(200)
    division = divide(data, CONFIG, 3, 2, 0)
    known = public_rows(division)
    private = np.setdiff1d(np.arange(200), known)
    x = data.x_train.copy()
    x[private] = x[private] * 1000 - 7
    changed = scaled(replace(data, x_train=x), division, CONFIG)
    made = scaled(data, division, CONFIG)
    assert np.array_equal(changed.x_train[known], made.x_train[known]) and np.array_equal(changed.x_test, made.x_test)


def test_bounds_are_the_ends_and_clip() -> None:
    scale = by_bounds(("0:100",), 2)
    assert scale.of(np.array([[0, 100], [50, 200]], np.float32)).tolist() == [[-1, 1], [0, 1]]
    own = by_bounds(("0:1", "-2:2"), 2)
    assert own.of(np.array([[0.25, 1]], np.float32)).tolist() == [[0.25, 0.5]]
    for wrong, words in ((("1:0",), "not LOW:HIGH"), (("a:b",), "not LOW:HIGH"), (("3",), "not LOW:HIGH")):
        with pytest.raises(UsageError, match=words):
            by_bounds(wrong, 2)
    with pytest.raises(UsageError, match="3 bounds for 2 columns"):
        by_bounds(("0:1", "0:2", "0:3"), 2)


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 5))
def test_a_constant_column_becomes_exactly_zero(level: float, count: int) -> None:
    train = np.full((count, 1), level, dtype=np.float32)
    scale = by_rows(train)
    assert np.isfinite(scale.of(train + 1)).all() and (level in (0.0, 1.0) or not scale.of(train).any())


def test_without_public_records_there_is_no_scale() -> None:
    bare = CONFIG.model_copy(update={"public_size": 0, "auxiliary": 0, "warmup": 0})
    data = rows(200)
    with pytest.raises(UsageError, match=r"made holds features.*--auxiliary or --public-size, or give --bounds"):
        scaled(data, divide(data, bare, 3, 2, 0), bare)


def test_bounds_and_scaling_come_together() -> None:
    for wrong in ({"scaling": "bounds"}, {"bounds": ["0:1"]}):
        with pytest.raises(UsageError, match="come together"):
            build(DataConfig, wrong, "data")


@pytest.mark.parametrize(("scaling", "infinite"), [("private", True), ("public", False)])
def test_a_scale_by_private_rows_is_counted(tmp_path: Path, scaling: str, infinite: bool) -> None:
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "made.npz", x=rng.normal(5, 2, (260, 3)), y=np.arange(260) % 2)
    config = RunConfig.model_validate(
        {
            "protocol": "fedavg",
            "options": {"weighting": "uniform"},
            "clients": 2,
            "rounds": 1,
            "data": {
                "dataset": "npz",
                "data_dir": str(tmp_path / "made.npz"),
                "scaling": scaling,
                "candidates": 40,
                "public_size": 20,
                "auxiliary": 20,
            },
            "training": {"model": "mlp-small", "local_epochs": 1},
            "defense": {"name": "dp-sgd", "epsilon": 4.0},
        }
    )
    result = execute(config, Plan(tmp_path / "run", baselines=False))
    assert (result.privacy.epsilon is None) == infinite
