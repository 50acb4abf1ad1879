"""What a contributor does: one short file, one line in each of the two tables, and every run offers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fedprivacy import catalog
from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership import statistics
from fedprivacy.attacks.membership.evidence import evidence
from fedprivacy.study.run import Plan, execute


@dataclass(frozen=True)
class MedianDifference:
    """Margin minus the median margin of the references that never saw the record."""

    name: ClassVar[str] = "median-difference"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})

    def score(self, signals: Signals) -> Float:
        """``phi - median_OUT phi_s`` [n] in nats; over all references where none is OUT."""
        found = evidence(signals)
        use = found.outside | ~found.outside.any(axis=0)
        return np.asarray(found.phi - np.nanmedian(np.where(use, found.reference_phi, np.nan), axis=0))


def test_it_runs_beside_the_others(
    small_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(statistics.STATISTICS, MedianDifference.name, MedianDifference)
    monkeypatch.setitem(catalog.STATISTICS, MedianDifference.name, "margin minus the references' median")
    attack = {"attacks": ("membership",), "adversaries": ("server",), "headline": MedianDifference.name}
    result = execute(small_config(protocol="fedavg", attack=attack), Plan(tmp_path / "run", baselines=False))
    own = [f for f in result.findings if f.statistic == MedianDifference.name]
    assert {f.metric for f in own} >= {"AUC", "TPR@10%FPR"} and all(f.headline for f in own)
    assert all(f.value is not None or f.flag == "below" for f in own)
    assert MedianDifference.name in catalog.described("statistics")


def test_both_tables_hold_the_same_names_in_the_same_order() -> None:
    """But for the stack, which combines the others and belongs to no observation."""
    assert [name for name in catalog.STATISTICS if name != "stack"] == list(statistics.STATISTICS)
    assert all(made.name == name for name, made in statistics.STATISTICS.items())
