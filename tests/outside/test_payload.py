"""A stranger's protocol sends a payload type of its own: encoded, counted, recorded, and read by every attack."""

from __future__ import annotations

import copy
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fedprivacy
from fedprivacy.config.base import UsageError
from fedprivacy.recording.payloads import known
from fedprivacy.wire.payload import KINDS, Update

SMALL: dict[str, Any] = {
    "clients": 3,
    "rounds": 2,
    "candidates": 60,
    "auxiliary": 60,
    "public_size": 20,
    "local_epochs": 4,
    "dataset": "digits",
    "baselines": False,
}


def rivals() -> Any:
    """The class, once its package was imported."""
    return importlib.import_module("rivalfed.payload").Bytes


def averaging(game: Any, wire: Any) -> None:
    """Updates in bytes up, plain weights down; what arrived is gone on with."""
    shared = game.model()
    wire.started(shared)
    for t in range(1, game.rounds + 1):
        held, moved = copy.deepcopy(shared.state_dict()), []
        for k in range(game.clients):
            net = copy.deepcopy(shared)
            x, y = map(torch.from_numpy, game.private(k))
            optimizer = game.optimizer(net.parameters())
            for _ in range(game.training.local_epochs):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()
            update = Update({n: end.detach() - held[n] for n, end in net.state_dict().items()})
            moved.append(wire.sent(t, f"client-{k}", "server", payload=rivals().of(update)).tensors)
        mean = {n: held[n] + sum(one[n] for one in moved) / len(moved) for n in held}
        shared.load_state_dict(wire.sent(t, "server", wire.everyone, weights=mean).tensors)


def test_every_attack_reads_what_the_type_is_opened_into(rivalfed: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "optimizer": "sgd", "lr": 0.1, "iterations": 20, "messages": 2, "out": tmp_path}
    plain = fedprivacy.run("rival-momentum", attack="all", **settings)
    small = fedprivacy.run("rival-momentum", attack="all", options={"compact": True}, **settings)
    told = [
        {(f.attack, f.observation) for f in r.findings if f.headline and f.value is not None} for r in (plain, small)
    ]
    assert told[0] == told[1] >= {("membership", "decoded updates")}
    assert small.communication.up_bytes < plain.communication.up_bytes / 3
    assert small.communication.down_bytes == plain.communication.down_bytes


def test_a_stored_run_is_attacked_in_another_process(rivalfed: Path, tmp_path: Path) -> None:
    done = fedprivacy.run("rival-momentum", options={"compact": True}, attack="membership", out=tmp_path, **SMALL)
    line = [sys.executable, "-m", "fedprivacy", "attack", str(done.folder), "--adversary", "client-1", "--allow-code"]
    paths = os.pathsep.join([str(rivalfed), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    again = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment)
    assert again.returncode == 0 and "client-1" in again.stdout, again.stderr


def test_no_defense_takes_it_for_an_update(rivalfed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it acts on weights and updates alone"):
        fedprivacy.run(
            "rival-momentum", options={"compact": True}, defense="dp-fedavg", epsilon=4, out=tmp_path, **SMALL
        )
    importlib.import_module("rivalfed.payload")
    with pytest.raises(UsageError, match="it acts on weights and updates alone"):
        fedprivacy.run(averaging, defense="dp-fedavg", epsilon=4, out=tmp_path, **SMALL)


def test_a_loop_sends_it(rivalfed: Path, tmp_path: Path) -> None:
    importlib.import_module("rivalfed.payload")
    settings = {name: value for name, value in SMALL.items() if name != "baselines"}
    study = fedprivacy.Study.of(averaging, attack="membership", out=tmp_path, **settings)
    sent = study.wire.releases[0]
    assert (sent.kind, sent.opened, sent.reads, sent.reference) == ("rival-bytes", "update", "update", "received")
    result = study.run(out=tmp_path, baselines=False)
    found = {f.observation for f in result.findings if f.headline and f.adversary.startswith("server")}
    assert found & {"joint updates", "decoded updates"} and None not in found


@pytest.fixture
def recording(rivalfed: Path, tmp_path: Path) -> Path:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    game = fedprivacy.deal(x, y, clients=3, candidates=60, rounds=2, auxiliary=60, seed=0)
    with fedprivacy.record(tmp_path / "rec", game, model="mlp") as wire:
        averaging(game, wire)
    return tmp_path / "rec"


def test_a_recording_of_it_is_read_where_its_class_is_named(recording: Path, tmp_path: Path) -> None:
    del KINDS["rival-bytes"]
    with pytest.raises(
        UsageError, match="its content is of kind 'rival-bytes', which is none of fedprivacy's"
    ) as caught:
        fedprivacy.attack(recording, out=tmp_path)
    assert "\n" not in str(caught.value) and "--payload" in str(caught.value)
    result = fedprivacy.attack(recording, payload="rival-bytes", out=tmp_path)
    assert {f.observation for f in result.findings if f.adversary.startswith("server")} >= {"decoded updates"}
    assert result.config["attack"]["payloads"] == ["rival-bytes"]


def test_the_command_reads_it_too(recording: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-m", "fedprivacy", "attack", str(recording), "--statistic", "loss"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "'rival-bytes'" in done.stderr
    done = subprocess.run(
        [*line, "--payload", "rival-bytes"], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0 and "decoded updates" in done.stdout, done.stderr


FAULTY = """
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping
import torch
from torch import Tensor
from fedprivacy.wire.payload import Update

@dataclass(frozen=True, eq=False)
class Silent:
    kind: ClassVar[str] = "silent"
    values: Tensor
@dataclass(eq=False)
class Open:
    kind: ClassVar[str] = "open"
    values: Tensor
    @classmethod
    def example(cls): return cls(torch.ones(2))
@dataclass(frozen=True, eq=False)
class Sets:
    kind: ClassVar[str] = "sets"
    values: Any
    @classmethod
    def example(cls): return cls({1, 2})
@dataclass(frozen=True, eq=False)
class Dice:
    kind: ClassVar[str] = "dice"
    values: Tensor
    def opened(self): return Update({"w": self.values + torch.rand(2)})
    @classmethod
    def example(cls): return cls(torch.ones(2))
@dataclass(frozen=True, eq=False)
class Numbers:
    kind: ClassVar[str] = "numbers"
    values: Tensor
    def opened(self): return self.values
    @classmethod
    def example(cls): return cls(torch.ones(2))
@dataclass(frozen=True, eq=False)
class Known:
    kind: ClassVar[str] = "weights"
    values: Tensor
@dataclass(frozen=True, eq=False)
class Nameless:
    values: Tensor
class Plain:
    kind = "plain"
@dataclass(frozen=True, eq=False)
class Good:
    kind: ClassVar[str] = "good"
    values: Tensor
    rows: int
    @classmethod
    def example(cls): return cls(torch.ones(2), 2)
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Silent", "give it a static method example"),
        ("Open", "it can be changed after it was sent"),
        ("Sets", "values is a set: neither tensors nor what JSON holds"),
        ("Dice", "two receivers open it into different values"),
        ("Numbers", "opened() gives a Tensor, which no attack of ours reads"),
    ],
)
def test_a_planted_fault_is_told_in_words(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    report = fedprivacy.check(f"{tmp_path / 'faulty.py'}:{name}", "payload")
    assert not report.kept and words in report.rows[-1].words, str(report)


def test_a_type_that_no_attack_reads_is_sent_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    report = fedprivacy.check(f"{tmp_path / 'faulty.py'}:Good")
    assert report.kept and report.kind == "payload" and "no attack of ours reads good" in str(report)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Known", "two payload types are named 'weights'"),
        ("Nameless", "it has no kind"),
        ("Plain", "expected a frozen dataclass"),
    ],
)
def test_what_is_no_payload_type_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    with pytest.raises(UsageError, match=words):
        known([f"{tmp_path / 'faulty.py'}:{name}"])


def test_a_type_that_nobody_made_known_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(
        FAULTY + "\ndef federate(game, wire):\n    wire.sent(1, 'client-0', 'server', payload=Good(torch.ones(2), 2))\n"
    )
    with pytest.raises(UsageError, match="unknown payload kind 'good'"):
        fedprivacy.run(f"{tmp_path / 'loop.py'}:federate", out=tmp_path, **SMALL)
