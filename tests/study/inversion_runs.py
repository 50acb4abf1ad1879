"""Small runs of inversion, and what they found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedprivacy.attacks.inversion import recovered
from fedprivacy.attacks.inversion.recovered import Reconstructions
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.study.inversion.reconstructed import (
    BEST,
)
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute

Configure = Callable[..., Any]
ONE_STEP = {"local_steps": 1, "batch_size": 1, "optimizer": "sgd", "lr": 0.1}
CHEAP = {"attacks": ("inversion",), "inversion": {"iterations": 20, "messages": 6}}


def ran(config: Any, where: Path) -> RunResult:
    resolve(config)
    return execute(config, Plan(where, baselines=False))


def one(result: RunResult, metric: str, row: str = BEST) -> Finding:
    (found,) = [f for f in result.findings if f.metric == metric and f.statistic == row]
    return found


def recovered_of(config: Any, where: Path) -> Reconstructions:
    ran(config, where)
    found = recovered.load(where / "observed" / "server--inversion.safetensors")
    assert isinstance(found, Reconstructions)
    return found
