"""A SuperLink and SuperNodes as real processes on the loopback: started and stopped here, by their own ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr", reason="flwr has an environment of its own: make flower")

import fedprivacy
from fedprivacy.face.settings import configured
from fedprivacy.federation import engine
from fedprivacy.recording.transcript import read_transcript
from fedprivacy.study.resolve import resolve

SETTINGS = {"protocol": "mutual", "clients": 2, "rounds": 2, "dataset": "digits", "candidates": 60, "public_size": 20}
APP = """
import fedprivacy.flower

both = fedprivacy.flower.app({where!r}, **{settings!r})
server = both[0]
client = both[1]
"""
PROJECT = """
[project]
name = "ours"
version = "1.0.0"
description = "A protocol of fedprivacy on two nodes"
license = "MIT"
dependencies = []

[tool.flwr.app]
publisher = "fedprivacy"

[tool.flwr.app.components]
serverapp = "ours:server"
clientapp = "ours:client"
"""
PATIENCE = 300.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Commands of Flower, each the leader of a group that ends with the test."""

    def __init__(self, home: Path) -> None:
        self.bin, self.home = Path(sys.executable).parent, home
        self.env = {
            **os.environ,
            "FLWR_HOME": str(home),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *words: str) -> Path:
        log = self.home / f"{name}.log"
        with log.open("wb") as out:
            one = subprocess.Popen(
                [self.bin / words[0], *words[1:]], stdout=out, stderr=out, env=self.env, start_new_session=True
            )
        self.running.append(one)
        return log

    def stop(self) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for one in self.running:
                if one.poll() is None or sent == signal.SIGKILL:
                    try:
                        os.killpg(one.pid, sent)
                    except ProcessLookupError:
                        continue
            for one in self.running:
                try:
                    one.wait(5)
                except subprocess.TimeoutExpired:
                    continue


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    home = tmp_path / "home"
    home.mkdir()
    found = Processes(home)
    yield found
    found.stop()


def until(holds: Any, what: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen in {PATIENCE:.0f} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.3)


@pytest.mark.slow
def test_two_nodes_and_a_server_are_the_same_federation(processes: Processes, tmp_path: Path) -> None:
    port, where, app = free_port(), tmp_path / "rec", tmp_path / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(PROJECT)
    settings = {**SETTINGS, "auxiliary": 40, "local_epochs": 1}
    (app / "ours.py").write_text(APP.format(where=str(where), settings=settings))
    address = f"127.0.0.1:{port}"
    home = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    (processes.home / "config.toml").write_text(home)
    no_installs = "--disable-runtime-dependency-installation"
    link = processes.start("link", "flower-superlink", "--insecure", "--port", str(port), no_installs)
    until(lambda: "running on" in link.read_text(), "the start of the SuperLink", link)
    for k in range(2):
        ports = ("--superlink", address, "--port", str(free_port()))
        node = processes.start(f"node-{k}", "flower-supernode", "--insecure", *ports)
    until(lambda: link.read_text().count("activate-node HTTP") >= 2, "the start of the nodes", node)
    run = processes.start("run", "flwr", "run", str(app), "here", "--stream")
    config = configured(settings, tmp_path)
    env, _ = resolve(config).environment(config.seed)

    def over() -> bool:
        log = where / "transcript" / "log.jsonl"
        return log.exists() and '"finished"' in log.read_text()

    until(over, "the end of the federation", run)
    told, finished = read_transcript(where, 2, len(env.dataset.y_train))
    whole = engine.run(resolve(config).protocol, env, tmp_path / "whole")
    assert finished
    assert [m.digest for m in told.messages] == [m.digest for m in whole.transcript.messages]
    assert fedprivacy.attack(where, out=tmp_path).table()
