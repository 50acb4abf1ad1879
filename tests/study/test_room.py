"""What a run is said to need, against what it then took; and the refusal of what cannot fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.federation import engine
from fedprivacy.study import room
from fedprivacy.study.resolve import resolve

Configure = Callable[..., Any]


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "mutual"},
        {"protocol": "mutual", "options": {"peer_mode": "mean"}},
        {"protocol": "fedavg"},
        {"protocol": "fedavg", "clients": 5, "participation": 0.4},
        {"protocol": "fedmd"},
        {"protocol": "ds-fl"},
        {"protocol": "central"},
    ],
    ids=str,
)
def test_messages_are_counted_and_the_disk_is_enough(
    changes: dict[str, Any], small_config: Configure, tmp_path: Path
) -> None:
    config = small_config(**changes)
    env = resolve(config).environment(0)[0]
    told = room.room(resolve(config).wire, env)
    done = engine.run(resolve(config).protocol, env, tmp_path)
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert told.messages == len(done.transcript.messages)
    assert taken <= 1.2 * told.disk
    if env.settings.participation == 1 and told.messages:  # whoever never trained has no moments to keep
        assert told.disk <= 2 * taken + 20_000


def test_what_cannot_fit_is_refused_before_anything_is_written(
    small_config: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(protocol="fedavg", rounds=99_999, data={"public_set": "static"})
    env = resolve(small_config(protocol="fedavg")).environment(0)[0]
    plenty = shutil.disk_usage(tmp_path)._replace(free=10**15)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: plenty)
    monkeypatch.setattr(room, "available_memory", lambda: 1e15)
    assert "messages a federation" in room.announced(resolve(config), env, tmp_path, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: plenty._replace(free=1_000_000))
    with pytest.raises(UsageError, match=r"1\.00 MB of disk are free"):
        room.announced(resolve(config), env, tmp_path / "runs", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: plenty)
    monkeypatch.setattr(room, "available_memory", lambda: 1e6)
    with pytest.raises(UsageError, match=r"1\.00 MB of memory are free"):
        room.announced(resolve(config), env, tmp_path / "runs", 1)
    assert list(tmp_path.iterdir()) == []
