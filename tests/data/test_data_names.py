"""Names and paths are checked at once, without torch or numpy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.names import SOURCES, check, data_path


def test_the_check_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fedprivacy.data.names import check; from fedprivacy.config.run import DataConfig; "
        "check(DataConfig()); print([m for m in ('torch', 'numpy', 'PIL', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_source_is_described_in_one_line() -> None:
    assert DataConfig().dataset in SOURCES
    for source in SOURCES.values():
        assert source.about and "\n" not in source.about
        assert bool(source.subfolder) == (source.kind == "torchvision")


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.kind == "embedded"])
def test_embedded_sources_need_nothing(name: str) -> None:
    check(DataConfig(dataset=name))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dataset": "mnist5"}, ["'mnist5'", "Did you mean 'mnist5k'?"]),
        ({"dataset": "location30"}, ["'location30'", "Known:", "npz"]),
        ({"dataset": "folder"}, ["'folder'", "--data-dir"]),
        ({"dataset": "npz"}, ["a .npz file", "--data-dir"]),
        ({"dataset": "cifar10"}, ["'cifar10'", "--data-dir"]),
        ({"dataset": "mnist5k", "data_dir": "x"}, ["embedded", "--dataset folder"]),
        ({"dataset": "digits", "download": True}, ["'digits'", "cifar10"]),
        ({"dataset": "folder", "data_dir": "~nobody-of-that-name/x"}, ["home folder", "~nobody-of-that-name"]),
        ({"dataset": "folder", "data_dir": "y" * 5000}, ["cannot be looked at"]),
    ],
)
def test_a_mistake_is_one_line(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        check(DataConfig.model_validate(values))
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


def test_paths_of_the_wrong_kind(tmp_path: Path) -> None:
    file = tmp_path / "file.npz"
    file.touch()
    for dataset, path, word in [
        ("folder", file, "is a file"),
        ("facemask", file, "is a file"),
        ("npz", tmp_path, "is a folder"),
        ("mnist", file, "is a file"),
        ("npz", tmp_path / "none.npz", "nothing is at"),
        ("folder", tmp_path / "none", "nothing is at"),
    ]:
        with pytest.raises(UsageError, match=word) as caught:
            check(DataConfig(dataset=dataset, data_dir=str(path)))
        assert str(path) in str(caught.value)
    check(DataConfig(dataset="npz", data_dir=str(file)))
    check(DataConfig(dataset="folder", data_dir=str(tmp_path)))


def test_an_unreadable_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match="no permission to read"):
        check(DataConfig(dataset="folder", data_dir=str(tmp_path)))


def test_torchvision_says_where_it_looked_and_offers_the_download(tmp_path: Path) -> None:
    config = DataConfig(dataset="fashion-mnist", data_dir=str(tmp_path))
    with pytest.raises(UsageError, match="--download") as caught:
        check(config)
    assert str(tmp_path / "FashionMNIST" / "raw") in str(caught.value)
    check(config.model_copy(update={"download": True}))
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)
    check(config)


def test_the_home_folder_is_expanded() -> None:
    assert data_path(DataConfig(dataset="folder", data_dir="~/x")) == Path.home() / "x"
