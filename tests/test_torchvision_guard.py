"""The guard repairs exactly one failure, and leaves every other one as it is."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from fedprivacy import torchvision_guard
from fedprivacy.torchvision_guard import import_torchvision

FRESH = """
from fedprivacy.torchvision_guard import _declare_missing, import_torchvision
vision = import_torchvision()
_declare_missing()
assert import_torchvision() is vision
import numpy as np, torch
from torchvision import datasets, transforms
image = transforms.ToTensor()(np.full((4, 5, 3), 255, dtype=np.uint8))
assert image.shape == (3, 4, 5) and float(image.min()) == 1.0
logits = vision.models.resnet18(num_classes=3).eval()(torch.zeros(1, 3, 32, 32))
print(tuple(logits.shape), datasets.MNIST.__name__, vision.utils.make_grid(image[None]).shape[0])
"""


def test_a_fresh_interpreter_gets_datasets_transforms_models_and_grids() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 3) MNIST 3"


class _Imports:
    """Stands for importlib: raises the given errors in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, name: str) -> ModuleType:
        assert name == "torchvision"
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return ModuleType(name)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    calls: list[bool] = []
    monkeypatch.setattr(torchvision_guard, "_declare_missing", lambda: calls.append(True))
    return calls


def test_nothing_is_declared_when_the_import_succeeds(monkeypatch: pytest.MonkeyPatch, declared: list[bool]) -> None:
    imports = _Imports()
    monkeypatch.setattr(importlib, "import_module", imports)
    assert import_torchvision().__name__ == "torchvision"
    assert imports.calls == 1 and not declared


@pytest.mark.parametrize("operator", ["nms", "qnms"])
def test_a_missing_operator_is_declared_once_and_the_import_repeated(
    monkeypatch: pytest.MonkeyPatch, declared: list[bool], operator: str
) -> None:
    imports = _Imports(RuntimeError(f"operator torchvision::{operator} does not exist"))
    monkeypatch.setattr(importlib, "import_module", imports)
    assert import_torchvision().__name__ == "torchvision"
    assert imports.calls == 2 and declared == [True]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Detected that PyTorch and torchvision were compiled with different CUDA major versions"),
        RuntimeError("operator torchvision::roi_align does not exist"),
        ModuleNotFoundError("No module named 'torchvision'"),
    ],
)
def test_any_other_failure_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, declared: list[bool], error: Exception
) -> None:
    imports = _Imports(error)
    monkeypatch.setattr(importlib, "import_module", imports)
    with pytest.raises(type(error)) as caught:
        import_torchvision()
    assert caught.value is error
    assert imports.calls == 1 and not declared


def test_a_second_failure_is_not_hidden(monkeypatch: pytest.MonkeyPatch, declared: list[bool]) -> None:
    missing = "operator torchvision::nms does not exist"
    imports = _Imports(RuntimeError(missing), RuntimeError(missing))
    monkeypatch.setattr(importlib, "import_module", imports)
    with pytest.raises(RuntimeError, match="nms"):
        import_torchvision()
    assert imports.calls == 2 and declared == [True]
