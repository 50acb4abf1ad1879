"""The one door to torchvision: it also opens where the wheel's compiled operators do not load.

With a CPU build of torch the compiled half of a torchvision wheel may be missing, and ``import torchvision``
stops at ``operator torchvision::nms does not exist``. The package only wants to describe the output of two
operators (``nms`` and ``qnms``), which nothing here calls. Declaring their schemas is enough for data sets,
transforms and models.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

_OPERATORS = ("nms", "qnms")
_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_declared: list[Any] = []
"""Torch forgets a declaration when its Library object dies, so they are kept for the life of the process."""


def import_torchvision() -> ModuleType:
    """Import torchvision and return it; declare missing operator schemas only if the import asks for them.

    Raises whatever the import raises for any other reason (ImportError where torchvision is not installed).
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not any(f"operator torchvision::{name} does not exist" in str(error) for name in _OPERATORS):
            raise
    _declare_missing()
    return importlib.import_module("torchvision")


def _declare_missing() -> None:
    """Declare the schema (no implementation) of each operator of ``_OPERATORS`` that torch does not know."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + _ARGUMENTS)
    _declared.append(library)
