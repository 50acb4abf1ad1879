"""Federations on Flower: recorded as they are (:func:`recorded`), and protocols of ours run there (:func:`app`).

Needs ``flwr`` (``pip install 'fedprivacy[flower]'``), which is imported here and nowhere else.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.flower.apps import app
    from fedprivacy.flower.nodes import partition
    from fedprivacy.flower.recorder import recorded

__all__ = ["app", "partition", "recorded"]

_WHERE = {"app": "apps", "partition": "nodes", "recorded": "recorder"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fedprivacy.flower' has no attribute '{name}'")
    if importlib.util.find_spec("flwr") is None:
        raise UsageError(
            "fedprivacy.flower needs flwr, in an environment of its own (docs/flower.md): "
            "pip install 'fedprivacy[flower]'."
        )
    return getattr(importlib.import_module(f"fedprivacy.flower.{_WHERE[name]}"), name)
