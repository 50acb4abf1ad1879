"""CSV, Parquet and data frames: numbers stay, texts become one-hot, one column is the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.sources import load
from fedprivacy.data.tables import from_frames, read_table

FRAME = pd.DataFrame(
    {
        "age": [20, 30, 40, 50],
        "city": ["b", "a", None, "b"],
        "member": [True, False, True, True],
        "income": ["high", "low", "low", "high"],
        "score": [0.5, 1.5, 2.5, 3.5],
    }
)


def test_columns_become_features_in_their_order() -> None:
    raw = from_frames(FRAME.copy(), None, "income", "table")
    assert raw.classes == ("high", "low") and raw.train.y.tolist() == [0, 1, 1, 0] and raw.test is None
    expected = OneHotEncoder(sparse_output=False).fit_transform(FRAME[["city"]].fillna("(missing)"))
    assert raw.train.x.dtype == np.float32
    assert np.array_equal(raw.train.x[:, 1:4], expected)
    assert raw.train.x[:, [0, 4, 5]].tolist() == [[20, 1, 0.5], [30, 0, 1.5], [40, 1, 2.5], [50, 1, 3.5]]
    assert raw.notes == ("1 of 4 columns hold categories; one-hot they are 6 features",)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_and_folders_give_the_same(tmp_path: Path, kind: str) -> None:
    def write(frame: pd.DataFrame, name: str) -> Path:
        path = tmp_path / f"{name}.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
        return path

    whole = read_table(write(FRAME, "all"), "income", kind)
    write(FRAME, "train")
    with pytest.raises(UsageError, match=rf"no test\.{kind}"):
        read_table(tmp_path, "income", kind)
    write(FRAME[:2], "test")
    both = read_table(tmp_path, "income", kind)
    expected = from_frames(FRAME.copy(), FRAME[:2].copy(), "income", "table")
    assert np.array_equal(whole.train.x, expected.train.x) and np.array_equal(both.train.x, expected.train.x)
    assert both.test is not None and expected.test is not None and np.array_equal(both.test.x, expected.test.x)
    assert both.test.x.shape[1] == both.train.x.shape[1]


def test_categories_read_to_the_same_records_as_a_npz_with_codes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "c": rng.choice(["u", "v", "w"], 60), "y": rng.integers(0, 2, 60)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    codes = np.searchsorted(["u", "v", "w"], frame["c"].to_numpy(str))
    np.savez(
        tmp_path / "t.npz",
        x=np.stack([frame["x"], codes], axis=1),
        y=frame["y"],
        columns=np.array(["x", "c"]),
        numeric=np.array([True, False]),
        categories_json=np.array('{"c": ["u", "v", "w"]}'),
    )
    table = load(DataConfig(dataset="csv", data_dir=str(tmp_path / "t.csv"), label="y"))
    arrays = load(DataConfig(dataset="npz", data_dir=str(tmp_path / "t.npz")))
    assert table.digest == arrays.digest


@pytest.mark.parametrize(
    ("changes", "label", "words"),
    [
        ({}, None, "--label COLUMN, one of age, city"),
        ({}, "incom", "no column 'incom'. Did you mean 'income'"),
        ({"age": [1.0, None, 2.0, 3.0]}, "income", "column age is nan at row 1"),
        ({"income": [None, "a", "b", "a"]}, "income", "missing at row 0"),
        ({"age": pd.to_datetime(["2020-01-01"] * 4)}, "income", "column age holds times"),
        ({"income": [0.5, 1.5, 2.0, 1.0]}, "income", "0.5 at row 0; expected class numbers"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, object], label: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_frames(FRAME.assign(**changes), None, label, "table")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_identifier_is_no_category() -> None:
    frame = pd.DataFrame({"id": [f"n{i}" for i in range(1200)], "y": np.arange(1200) % 2})
    with pytest.raises(UsageError, match="1,200 different texts"):
        from_frames(frame, None, "y", "table")


def test_columns_of_both_sets_are_the_same() -> None:
    with pytest.raises(UsageError, match="score stands in one of the two sets only"):
        from_frames(FRAME.copy(), FRAME.drop(columns="score"), "income", "table")


@pytest.mark.parametrize("content", ["", "a,b\n1\n2,3,4\n"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_table(tmp_path / "t.csv", "y", "csv")
    assert "t.csv as csv" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="as parquet"):
        read_table(tmp_path / "t.csv", "y", "parquet")


def test_a_label_is_asked_for_before_reading() -> None:
    with pytest.raises(UsageError, match="--label COLUMN"):
        load(DataConfig(dataset="csv", data_dir="nowhere.csv"))
    with pytest.raises(UsageError, match="has none"):
        load(DataConfig(dataset="digits", label="y"))
