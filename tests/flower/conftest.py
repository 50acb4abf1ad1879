"""Tests of federations on Flower: they need ``flwr``, which has an environment of its own (``make flower``)."""

from __future__ import annotations

import os
from typing import Any

import pytest

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def here() -> Any:
    """The class of grids in this process."""
    from tests.flower.grid import Here

    return Here
