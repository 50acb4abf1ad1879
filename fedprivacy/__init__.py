"""fedprivacy: run a federated protocol, record what crosses the wire, attack it, and account for privacy.

Importing this package costs nothing: no torch, no numpy. Each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedprivacy.adversary.position import Adversary
    from fedprivacy.face.attack import attack
    from fedprivacy.face.audit import audit
    from fedprivacy.face.check import check
    from fedprivacy.face.compare import compare, sweep
    from fedprivacy.face.record import deal, record
    from fedprivacy.face.reproduce import reproduce
    from fedprivacy.face.result import RunResult, load
    from fedprivacy.face.run import run
    from fedprivacy.face.study import Study

__version__ = "0.1.0"
__all__ = [
    "Adversary",
    "RunResult",
    "Study",
    "attack",
    "audit",
    "check",
    "compare",
    "deal",
    "load",
    "record",
    "reproduce",
    "run",
    "sweep",
]

_WHERE = {
    "Adversary": "fedprivacy.adversary.position",
    "RunResult": "fedprivacy.face.result",
    "Study": "fedprivacy.face.study",
    "attack": "fedprivacy.face.attack",
    "audit": "fedprivacy.face.audit",
    "check": "fedprivacy.face.check",
    "compare": "fedprivacy.face.compare",
    "deal": "fedprivacy.face.record",
    "load": "fedprivacy.face.result",
    "record": "fedprivacy.face.record",
    "reproduce": "fedprivacy.face.reproduce",
    "run": "fedprivacy.face.run",
    "sweep": "fedprivacy.face.compare",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fedprivacy' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
