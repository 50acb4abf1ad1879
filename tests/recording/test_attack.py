"""A recording is attacked like the run that it recorded, as far as it was written, and never runs code by itself."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import fedprivacy
from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.face.record import record
from tests.recording.conftest import Net, averaging, sharing, trained

GAME: dict[str, Any] = {"clients": 2, "candidates": 40, "rounds": 2, "auxiliary": 20, "public_size": 15}


def numbers(result: Any, adversary: str) -> dict[tuple[str, str, str, str], float | None]:
    mine = [f for f in result.findings if f.adversary.startswith(adversary) and "joint" not in f.observation]
    return {(f.observation, f.statistic, f.target, f.metric): f.value for f in mine}


def test_it_finds_what_an_attack_on_the_run_itself_finds(recording: Path, tmp_path: Path) -> None:
    """The recorder and the engine share no line of the way from a message to a number."""
    run = fedprivacy.run(
        averaging, model=Net, dataset="digits", attack="membership", out=tmp_path, baselines=False, **GAME
    )
    found = fedprivacy.attack(recording, model=Net, out=tmp_path)
    for adversary in ("server", "client-0"):
        theirs = numbers(run, adversary)
        assert theirs and numbers(found, adversary) == theirs
    assert found.utility["test_accuracy"].mean == run.utility["test_accuracy"].mean
    assert found.communication.per_round == run.communication.per_round


def test_every_attack_that_its_messages_allow(recording: Path, tmp_path: Path) -> None:
    found = fedprivacy.attack(recording, model=Net, attack="all", out=tmp_path, iterations=20, messages=2)
    assert {f.attack for f in found.findings if f.value is not None} == {"membership", "labels", "inversion"}
    assert found.folder is not None and found.folder.name.startswith("recording-rec-membership-labels-inversion")


def test_shadows_become_references(recording: Path, tmp_path: Path, game: Callable[..., Any]) -> None:
    for number in range(2):
        shadow = game(model=Net).shadow(number)
        with record(recording, shadow) as wire:
            averaging(shadow, wire)
    found = fedprivacy.attack(recording, model=Net, adversary="server", out=tmp_path)
    assert found.config["attack"]["shadows"] == 2
    assert {f.statistic for f in found.findings if f.value is not None} >= {"lira-online", "base-online"}


def test_an_unfinished_federation_is_attacked_up_to_its_last_whole_round(recording: Path, tmp_path: Path) -> None:
    whole = fedprivacy.attack(recording, model=Net, adversary="server", out=tmp_path)
    log = recording / "transcript" / "log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    found = fedprivacy.attack(recording, model=Net, adversary="server", out=tmp_path)
    assert found.config["rounds"] == 1 and whole.config["rounds"] == 2
    assert found.folder != whole.folder


def test_predictions_are_attacked_by_whoever_receives_them(tmp_path: Path, game: Callable[..., Any]) -> None:
    dealt = game(model=Net)
    with record(tmp_path / "rec", dealt) as wire:
        for owner, net in sharing(dealt, wire).items():
            wire.ended(owner, net)
    found = fedprivacy.attack(tmp_path / "rec", model=Net, surrogate_epochs=3)
    assert {f.adversary.partition(" ")[0] for f in found.findings} == {"server", "client-0"}
    assert {f.observation for f in found.findings} == {"distilled surrogate"}
    assert set(found.utility["test_accuracy"].per_client) == {"client-0", "client-1"}
    with record(tmp_path / "blind" / "rec", dealt) as wire:
        sharing(dealt, wire)
    again = fedprivacy.attack(tmp_path / "blind" / "rec", model=Net, surrogate_epochs=3)
    assert not again.utility and numbers(again, "server") == numbers(found, "server")
    assert str(again) and again._repr_html_()


def test_what_a_recording_cannot_do_is_one_line(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="answer no queries"):
        fedprivacy.attack(recording, model=Net, adversary="active-server", out=tmp_path)
    with pytest.raises(UsageError, match="No model 'nett' exists"):
        fedprivacy.attack(recording, model="nett", out=tmp_path)
    (recording / "truth" / "coins.safetensors").unlink()
    with pytest.raises(UsageError, match="so nothing can be judged"):
        fedprivacy.attack(recording, model=Net, out=tmp_path)
    assert not list(tmp_path.glob("recording-*"))


def test_a_recording_never_loads_code_by_itself(recording: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"with open({str(ran)!r}, 'w') as file:\n    file.write('x')\nNet = None\n")
    game = folder.read_json(recording / "game.json")
    folder.write_json(recording / "game.json", {**game, "models": [f"{tmp_path / 'evil.py'}:Net"]})
    with pytest.raises(UsageError, match="which is code from outside; name it"):
        fedprivacy.attack(recording, out=tmp_path / "runs")
    assert not ran.exists()


def command(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "fedprivacy", "attack", *words]
    return subprocess.run(line, cwd=where, capture_output=True, text=True, timeout=120, env=environment)


def test_the_command_line_attacks_a_recording(recording: Path, tmp_path: Path) -> None:
    model = f"{Path(__file__).parent / 'conftest.py'}:Net"
    done = command(tmp_path, "rec", "--model", model, "--adversary", "server", "--statistic", "loss")
    assert done.returncode == 0, done.stderr
    assert "uploaded weights" in done.stdout and "Run folder: recording-rec-membership" in done.stdout
    every = ("--attack", "all", "--messages", "1", "--budget", "2steps", "--statistic", "loss", "--adversary", "server")
    done = command(tmp_path, "rec", "--model", model, *every)
    assert done.returncode == 0, done.stderr
    assert "Run folder: recording-rec-membership-labels-inversion" in done.stdout
    refused = command(tmp_path, "rec")
    assert refused.returncode == 2 and "name it, by --model" in refused.stderr and refused.stderr.count("\n") == 1
    (recording / "game.json").write_text("{}")
    broken = command(tmp_path, "rec", "--model", model)
    assert broken.returncode == 2 and "carries no seal" in broken.stderr and broken.stderr.count("\n") == 1


class Wider(nn.Module):
    """The layers of ``Net``, one unit wider."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 17), nn.Linear(17, 10)

    def forward(self, x: Any) -> Any:
        return self.out(self.hidden(x.flatten(1)))


def test_a_model_that_does_not_fit_is_one_line(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"client-0 sent hidden.bias \[16\] in round 1, and .* hidden.bias \[17\]"):
        fedprivacy.attack(recording, model=Wider, out=tmp_path)


def test_nothing_is_said_of_a_training_that_nobody_told(recording: Path, tmp_path: Path) -> None:
    model = f"{Path(__file__).parent / 'conftest.py'}:Net"
    done = command(tmp_path, "rec", "--model", model, "--adversary", "server", "--statistic", "loss", "--full")
    assert "nobody said how the clients trained" in " ".join(done.stdout.split())
    assert "learning rate" not in done.stdout and "iid partition" not in done.stdout


def test_a_model_without_weights_is_one_line(game: Callable[..., Any], tmp_path: Path) -> None:
    with record(tmp_path / "rec", game(), model=Net) as wire:
        wire.sent(1, "client-0", "server", weights={})
    with pytest.raises(UsageError, match="client-0 sent a model without a single weight in round 1"):
        fedprivacy.attack(tmp_path / "rec", model=Net, out=tmp_path)


def test_labels_are_read_without_the_architecture(game: Callable[..., Any], tmp_path: Path) -> None:
    dealt = game(clients=4, candidates=120, rounds=1, auxiliary=100, public_size=0, partition="dirichlet", alpha=0.2)
    shared = Net()
    with record(tmp_path / "rec", dealt) as wire:
        wire.started(shared)
        for k in range(4):
            net = copy.deepcopy(shared)
            trained(net, *dealt.private(k))
            wire.sent(1, f"client-{k}", "server", weights=net)
    result = fedprivacy.attack(tmp_path / "rec", attack="labels", out=tmp_path)
    (gain,) = [r for r in result.table() if r["metric"].startswith("TV gain") and r["statistic"] == "head change"]
    assert gain["low"] > 0
