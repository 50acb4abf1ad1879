"""Setup L on real images: estimators against anchors, within three standard errors of both."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "setup_l.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_l_benchmark", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_strong_skew_is_read_off_predictions(benchmark: ModuleType, shared_data: Path) -> None:
    found = benchmark.measure(benchmark.load(shared_data / "fashion_mnist_10k.npz"), 0.1)
    mean = {name: float(tv.mean()) for name, tv in found.items()}
    assert mean["uniform"] == pytest.approx(0.680, abs=0.10)
    assert mean["mean_softmax"] == pytest.approx(0.312, abs=0.12)
    assert mean["argmax_hist"] == pytest.approx(0.317, abs=0.12)
    assert mean["log_ratio"] == pytest.approx(0.236, abs=0.10)
    assert mean["log_ratio"] < mean["mean_softmax"] < mean["uniform"] - 0.2
