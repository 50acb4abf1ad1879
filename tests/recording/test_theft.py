"""Loops of one's own, run or recorded, that share predictions give their clients' models away like protocols inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedprivacy
from fedprivacy.face.result import RunResult

SMALL: dict[str, Any] = {"dataset": "digits", "clients": 2, "rounds": 2, "candidates": 40, "auxiliary": 20}


@pytest.fixture
def loops() -> Any:
    """The loops of this folder's recordings."""
    return sys.modules[next(name for name in sys.modules if name.endswith("recording.conftest"))]


def agreement(found: RunResult) -> dict[tuple[str, str], float]:
    return {
        (f.adversary, f.statistic): f.value
        for f in found.findings
        if f.attack == "theft" and f.metric == "agreement" and f.value is not None
    }


def test_a_loop_is_copied_by_who_listens_and_by_who_asks(loops: Any, tmp_path: Path) -> None:
    settings = {**SMALL, "public_size": 15, "baselines": False, "out": tmp_path}
    found = fedprivacy.run(loops.sharing, model=loops.Net, attack="theft", **settings)
    told = agreement(found)
    assert {statistic for adversary, statistic in told if "(active)" in adversary} >= {
        "asked about related records",
        "asked about unrelated records",
    }
    assert ("server (honest-but-curious)", "all rounds, newest most") in told
    assert any("the models that clients end with" in f.note for f in found.findings if f.headline)


def test_a_recording_is_copied_as_far_as_its_models_are_known(
    loops: Any, tmp_path: Path, game: Callable[..., Any]
) -> None:
    dealt = game(model=loops.Net)
    with fedprivacy.record(tmp_path / "rec", dealt) as wire:
        for owner, net in loops.sharing(dealt, wire).items():
            wire.ended(owner, net)
    found = fedprivacy.attack(tmp_path / "rec", model=loops.Net, attack="theft")
    assert {adversary for adversary, _ in agreement(found)} == {"server (honest-but-curious)"}
    with fedprivacy.record(tmp_path / "blind" / "rec", dealt) as wire:
        loops.sharing(dealt, wire)
    blind = fedprivacy.attack(tmp_path / "blind" / "rec", model=loops.Net, attack="theft")
    assert not agreement(blind) and "no model that a client ends with is known" in blind.findings[0].note
