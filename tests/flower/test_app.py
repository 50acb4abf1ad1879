"""A protocol on Flower's nodes is the same federation as in one process, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr", reason="flwr has an environment of its own: make flower")

import fedprivacy
from fedprivacy.config.base import UsageError
from fedprivacy.face.settings import configured
from fedprivacy.federation import engine
from fedprivacy.flower import app
from fedprivacy.recording.transcript import read_transcript
from fedprivacy.study.resolve import resolve

SMALL: dict[str, Any] = {
    "clients": 3,
    "rounds": 2,
    "dataset": "digits",
    "candidates": 60,
    "auxiliary": 40,
    "public_size": 20,
    "local_epochs": 1,
}


def crossed(messages: Any) -> list[tuple[Any, ...]]:
    return [(m.round, m.sender, m.receiver, m.purpose, m.digest) for m in messages]


@pytest.mark.parametrize("protocol", ["fedavg", "fml", "fedkd", "mutual"])
def test_the_same_messages_cross(protocol: str, here: Any, tmp_path: Path) -> None:
    server, client = app(tmp_path / "rec", protocol=protocol, **SMALL)
    server(here(client, [9, 5, 7]), None)
    config = configured({"protocol": protocol, **SMALL}, tmp_path)
    env, _ = resolve(config).environment(config.seed)
    whole = engine.run(resolve(config).protocol, env, tmp_path / "whole")
    told, finished = read_transcript(tmp_path / "rec", 3, len(env.dataset.y_train))
    assert finished and crossed(told.messages) == crossed(whole.transcript.messages)


def test_its_recording_is_attacked(here: Any, tmp_path: Path) -> None:
    server, client = app(tmp_path / "rec", protocol="mutual", **SMALL)
    server(here(client, [1, 2, 3]), None)
    assert fedprivacy.attack(tmp_path / "rec", out=tmp_path).table()


def test_a_node_that_fails_is_named(here: Any, tmp_path: Path) -> None:
    server, client = app(tmp_path / "rec", protocol="mutual", **SMALL)
    grid = here(client, [1, 2, 3])
    honest = grid.pull_messages

    def pulled(names: Any) -> Any:
        from flwr.app import Error

        replies = honest(names)
        replies[0] = replies[0].create_error_reply(Error(code=0, reason="out of memory"))
        replies[0].metadata.__dict__["_src_node_id"] = 3
        return replies

    grid.pull_messages = pulled
    with pytest.raises(RuntimeError, match="client-2 failed in round 1: out of memory"):
        server(grid, None)


def test_too_few_nodes_are_one_line(here: Any, tmp_path: Path) -> None:
    server, client = app(tmp_path / "rec", protocol="mutual", wait=0.0, **SMALL)
    with pytest.raises(UsageError, match="2 of 3 nodes came"):
        server(here(client, [1, 2]), None)
