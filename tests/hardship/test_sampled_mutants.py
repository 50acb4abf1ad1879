"""Two of the thirteen mutants and the same games unbroken; `make mutants` tries all of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def mutants() -> Any:
    sys.path.insert(0, str(Path(__file__).parent))
    return importlib.import_module("mutants")


@pytest.mark.parametrize("name", ["one client unclipped", "selection by private values"])
def test_a_mutant_is_refuted(mutants: Any, name: str) -> None:
    (mutant,) = (one for one in mutants.MUTANTS if one.name == name)
    assert mutants.killed(mutant).refuted
    assert not mutants.audited(mutant.game, 400).refuted


def test_thirteen_ways_are_planted(mutants: Any) -> None:
    assert len({one.name for one in mutants.MUTANTS}) == 13
