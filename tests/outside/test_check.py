"""The conformance suite passes what keeps its promises and says in words what a planted fault breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import fedprivacy
from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_federation.py"


@pytest.mark.parametrize(
    "name", ["rival-momentum", "rival-net", "rival-digits", "rival-signs", "rival-gap", "rival-bytes"]
)
def test_a_strangers_parts_keep_what_they_must(name: str, rivalfed: Path) -> None:
    report = fedprivacy.check(name)
    assert report.kept, str(report)
    assert len(report.rows) >= 4 and "<table>" in report._repr_html_()


def test_a_loop_keeps_what_a_protocol_must() -> None:
    report = fedprivacy.check(f"{EXAMPLE}:federate", training={"model": f"{EXAMPLE}:Net"})
    assert report.kept and report.kind == "protocol", str(report)


FAULTY = """
import random
import numpy as np
import torch
from dataclasses import dataclass
from torch import nn
from sklearn.datasets import load_digits
from fedprivacy.attacks.membership.evidence import margins
from fedprivacy.wire.payload import Predictions, Update, Weights
from rivalfed.protocol import Momentum

class Backwards:
    name, needs = "backwards", frozenset()
    def score(self, signals): return -margins(signals)
class Blind:
    name, needs = "blind", frozenset()
    def score(self, signals): return np.arange(len(signals.labels), dtype=float)
class Lucky:
    name, needs = "lucky", frozenset()
    def score(self, signals): return np.random.default_rng().random(len(signals.labels))
class Infinite:
    name, needs = "infinite", frozenset()
    def score(self, signals): return np.full(len(signals.labels), np.inf)
class Wants:
    name, needs = "wants", frozenset({"coins"})
    def score(self, signals): return margins(signals)

class Net(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = nn.Linear(64, outputs)
    def forward(self, x): return self.layer(x.flatten(1))
class Fixed(Net):
    def __init__(self, shape, outputs):
        super().__init__(shape, outputs)
        nn.init.ones_(self.layer.weight); nn.init.zeros_(self.layer.bias)
class Mixed(Net):
    def forward(self, x):
        return super().forward(x) - super().forward(x).mean(0)
class Stuck(Net):
    def forward(self, x): return super().forward(x).detach() + 0 * self.layer.bias

class Silent(Momentum):
    def releases(self, federation): return super().releases(federation)[1:]
class Uncounted(Momentum):
    def round(self, state, round, env, channel):
        from dataclasses import replace
        return replace(super().round(state, round, env, channel), events=[])
class Drifting(Momentum):
    def init(self, env):
        started = super().init(env)
        extra = {"server/drift": {"x": torch.tensor(random.SystemRandom().random())}}
        return type(started)(started.state.having(extra), started.history)
def secretive(game, wire):
    net = game.model()
    torch.nn.init.normal_(next(net.parameters()), generator=torch.Generator().manual_seed(
        random.SystemRandom().randrange(10**9)))
    for t in range(1, game.rounds + 1):
        wire.sent(t, "client-0", "server", weights=net)

@dataclass(frozen=True)
class Idle:
    def outgoing(self, payload, sender, round): return payload
@dataclass(frozen=True)
class Dice:
    def outgoing(self, payload, sender, round):
        if isinstance(payload, Predictions):
            return Predictions(payload.values + torch.rand(()) * 1e-3, payload.form)
        return type(payload)({n: t + torch.rand(()) * 1e-3 for n, t in payload.tensors.items()})
@dataclass(frozen=True)
class Greedy:
    def outgoing(self, payload, sender, round):
        for tensor in getattr(payload, "tensors", {"v": getattr(payload, "values", None)}).values():
            tensor.zero_()
        return payload

def shuffled():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng().permutation(len(x))
    return x[order], y[order]
def tiny():
    x, y = load_digits(return_X_y=True)
    return x[:30], y[:30]
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Backwards", "it has the wrong sign, higher must say member"),
        ("Blind", "the order of the candidates changes scores"),
        ("Lucky", "two calls on the same signals differ"),
        ("Infinite", "scores are not finite"),
        ("Wants", "needs names coins; what signals can offer"),
        ("Fixed", "two models of different seeds are equal"),
        ("Mixed", "a record's logits depend on the others of its batch"),
        ("Stuck", "60 steps of Adam on 12 records"),
        ("Silent", "clients send update, which releases() does not declare"),
        ("Uncounted", "6 messages of clients have no privacy event"),
        ("Drifting", "two runs of the same seed differ"),
        ("secretive", "two runs of the same seed differ"),
        ("Idle", "nothing that it sends differs from what it was given"),
        ("Dice", "differ: draw noise from a named seed"),
        ("Greedy", "it changes the predictions that it is given"),
        ("shuffled", "two reads differ; fix its order"),
        ("tiny", "cannot be shared between clients"),
    ],
)
def test_a_planted_fault_is_told_in_words(name: str, words: str, rivalfed: Path, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    report = fedprivacy.check(f"{tmp_path / 'faulty.py'}:{name}")
    assert not report.kept
    assert words in report.rows[-1].words and report.rows[-1].outcome == "broken", str(report)


def test_what_cannot_be_told_has_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def made(a, b, c): pass\nx = 1 / 0\n")
    assert "importing" in str(fedprivacy.check(f"{tmp_path / 'odd.py'}:made"))
    (tmp_path / "other.py").write_text("def made(a, b, c): pass\n")
    with pytest.raises(UsageError, match="its kind cannot be told; say it with --kind"):
        fedprivacy.check(f"{tmp_path / 'other.py'}:made")
    with pytest.raises(UsageError, match=r"no kind 'modell' exists\. Did you mean 'model'"):
        fedprivacy.check(f"{tmp_path / 'other.py'}:made", "modell")
    with pytest.raises(UsageError, match="there is no file"):
        fedprivacy.check("nowhere.py:made")


def test_the_command_says_it_and_exits_by_it(tmp_path: Path) -> None:
    (tmp_path / "scores.py").write_text(
        "class S:\n    name, needs = 's', frozenset()\n    def score(self, signals): return signals.labels[:2] * 1.0\n"
    )
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "fedprivacy", "check", "scores.py:S"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1 and "statistic scores.py:S: breaks 1" in done.stdout, done.stderr


def test_what_is_fedprivacys_own_is_no_part_of_yours() -> None:
    for name, kind in (("fedavg", "protocol"), ("mlp", "model"), ("digits", "data set"), ("dp-sgd", "defense")):
        with pytest.raises(UsageError, match=rf"'{name}' is fedprivacy's own \({kind}\)"):
            fedprivacy.check(name)
    with pytest.raises(UsageError, match="no part 'fedavgg' exists"):
        fedprivacy.check("fedavgg")


def test_a_loop_with_another_model_is_told_the_flag_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "def federate(game, wire):\n"
        "    for t in range(1, game.rounds + 1):\n"
        "        for k in range(game.clients): wire.sent(t, f'client-{k}', 'server', weights=net())\n"
    )
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(cli, ["check", "loop.py:federate"])
    assert "which one it is by --model, such as file.py:Net" in found.output
    named = CliRunner().invoke(cli, ["check", "loop.py:federate", "--model", "loop.py:net"])
    assert "which one it is" not in named.output
