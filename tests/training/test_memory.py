"""Keeping freed memory: agreed to once, or left alone; never a difference in a result."""

from __future__ import annotations

import sys

import pytest

from fedprivacy.training import memory


def test_it_is_asked_once() -> None:
    memory.keep_freed_memory.cache_clear()
    first = memory.keep_freed_memory()
    assert isinstance(first, bool)
    assert memory.keep_freed_memory() is first
    assert memory.keep_freed_memory.cache_info().misses == 1


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory.keep_freed_memory.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
    memory.keep_freed_memory.cache_clear()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    memory.keep_freed_memory.cache_clear()
    monkeypatch.setattr(memory.ctypes, "CDLL", absent)
    monkeypatch.setattr(sys, "platform", "linux")
    assert memory.keep_freed_memory() is False
    memory.keep_freed_memory.cache_clear()
