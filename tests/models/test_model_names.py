"""The table of names: complete, kind about typing errors, and free of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import TrainingConfig
from fedprivacy.models import build as build_module
from fedprivacy.models.names import MODELS, from_outside


def test_every_name_is_built_and_described_in_one_line() -> None:
    assert set(MODELS) == set(build_module._KINDS)
    assert all(text and "\n" not in text for text in MODELS.values())


def test_the_default_of_the_configuration_exists() -> None:
    assert not from_outside(TrainingConfig().model)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"No model 'resnet-18' exists\. Did you mean 'resnet18'\?"):
        from_outside("resnet-18")
    with pytest.raises(UsageError, match=r"Known: cnn, gupta-cnn, lenet-sigmoid, mlp, mlp-small, resnet18\."):
        from_outside("transformer")


def test_listing_the_names_imports_no_torch() -> None:
    code = "import sys, fedprivacy.models.names; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
