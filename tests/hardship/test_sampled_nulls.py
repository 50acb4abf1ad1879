"""Twelve of the 400 audits of an honest mechanism a bound; `make nulls` plays all of them."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def nulls() -> Any:
    found = importlib.util.spec_from_file_location("nulls", Path(__file__).with_name("nulls.py"))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["nulls"] = module
    found.loader.exec_module(module)
    return module


def quick(nulls: Any) -> dict[str, Any]:
    """All but those whose curve takes a loss distribution a step."""
    return {name: played for name, played in nulls.ALARMS.items() if played[0] is not nulls.SAMPLED}


def test_every_bound_is_silent_on_what_is_exactly_as_claimed(nulls: Any) -> None:
    assert nulls.allowed(400) == 35
    found = {name: nulls.false_alarms(name, 12) for name in quick(nulls)}
    assert {name: alarms for name, alarms in found.items() if alarms > nulls.allowed(12)} == {}


def test_every_alarm_rings_where_more_leaks_than_is_claimed(nulls: Any) -> None:
    """The same audits against a tenth of the claim: a bound that cannot ring would pass the null."""
    silent = []
    for name, (null, alarm) in quick(nulls).items():
        small = dataclasses.replace(null, epsilon=null.epsilon / 10)
        rung = 0
        for draw in range(3):
            rng = np.random.default_rng(draw)
            rung += alarm(small, *small.played(rng), rng)
        if not rung:
            silent.append(name)
    assert silent == []
