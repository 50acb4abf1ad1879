"""A stranger's package, installed as anybody would install it, into a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedprivacy import parts

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``pip`` installed ``rivalfed`` into."""
    place = tmp_path_factory.mktemp("strangers")
    shutil.copytree(HERE / "rivalfed", place / "source")
    wanted = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", "-q", *wanted, "--target", str(place / "site"), "./source"]
    subprocess.run(command, cwd=place, check=True, timeout=300, capture_output=True)
    return place / "site"


@pytest.fixture
def rivalfed(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package where Python looks for it."""
    monkeypatch.syspath_prepend(str(installed))
    parts.entry_points.cache_clear()
    yield installed
    parts.entry_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "rivalfed"]:
        del sys.modules[name]
