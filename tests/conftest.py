"""Small real federations for the tests: scikit-learn's 8x8 digits, a few clients, two rounds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from fedprivacy.config.base import build
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.data.sources import load

settings.register_profile("repository", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")
torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _global_generators(request: pytest.FixtureRequest) -> None:
    """Other libraries draw from generators of the process: each test finds them in one state, whatever ran before."""
    seed = crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.random.default_generator.manual_seed(seed)


def small(**changes: Any) -> RunConfig:
    """A configuration on the small digits; nested parts are given as mappings."""
    base: dict[str, Any] = {
        "protocol": "mutual",
        "clients": 3,
        "rounds": 2,
        "data": {"dataset": "digits", "candidates": 60, "public_size": 20, "auxiliary": 40},
        "training": {"local_epochs": 1},
        "attack": {"surrogate_epochs": 3},
    }
    for name, value in changes.items():
        base[name] = {**base.get(name, {}), **value} if isinstance(value, dict) else value
    return build(RunConfig, base, "test")


@pytest.fixture
def small_config() -> Callable[..., RunConfig]:
    """Builds a small configuration."""
    return small


@pytest.fixture(scope="session")
def binary_digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A .npz file with two classes of real digits: below five, and the others."""
    data = load(DataConfig(dataset="digits"))
    path = tmp_path_factory.mktemp("data") / "binary.npz"
    np.savez(path, x=np.concatenate([data.x_train, data.x_test]), y=np.concatenate([data.y_train, data.y_test]) // 5)
    return str(path)


@pytest.fixture
def shared_data() -> Path:
    """The folder with real data that the repository does not hold."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data sets, which are not part of the repository (../shared/data)")
    return SHARED_DATA
