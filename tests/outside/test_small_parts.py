"""A stranger's model, data set and statistic, by entry point, by module and by file, in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.models.build import build
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute

Configure = Callable[..., Any]
STRANGE: dict[str, Any] = {
    "protocol": "fedavg",
    "data": {"dataset": "rival-digits"},
    "training": {"model": "rival-net", "local_epochs": 8},
    "attack": {"attacks": ("membership",), "adversaries": ("server",), "headline": "rival-gap"},
}


def test_installed_parts_are_known_by_name_and_not_imported(rivalfed: Path) -> None:
    assert set(parts.known("model")) == {"rival-net"} and set(parts.known("statistic")) == {"rival-gap"}
    assert not any(name.startswith("rivalfed") for name in sys.modules)


def test_they_run_beside_what_is_inside(rivalfed: Path, small_config: Configure, tmp_path: Path) -> None:
    result = execute(small_config(**STRANGE), Plan(tmp_path / "run", baselines=False))
    headline = [f for f in result.findings if f.statistic == "rival-gap" and f.headline]
    assert {f.metric for f in headline} >= {"AUC", "TPR@10%FPR"}
    assert all(f.value is not None or f.flag == "below" for f in headline)
    assert result.utility["test_accuracy"].mean > 0.3


def test_worker_processes_load_them_too(rivalfed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedprivacy", "run", "--protocol", "fedavg", "--dataset", "rival-digits"]
    command += ["--model", "rivalfed.model:Net", "--statistic", "rival-gap", "--attack", "membership", "--workers", "2"]
    command += ["--clients", "2", "--rounds", "1", "--candidates", "40", "--auxiliary", "20", "--public-size", "10"]
    command += ["--adversary", "server", "--format", "json", "--out", str(tmp_path), "--local-epochs", "1"]
    paths = os.pathsep.join([str(rivalfed), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert {f["statistic"] for f in json.loads(done.stdout)["findings"]} >= {"rival-gap"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"model": "rival-nett"}}, "No model 'rival-nett' exists. Did you mean 'rival-net'?"),
        ({"data": {"dataset": "rival"}}, "No data set 'rival' exists."),
        ({"training": {"model": "rivalfed.nets:Net"}}, "there is no module rivalfed.nets"),
        ({"attack": {"statistics": ("rival-gap2",)}}, "No statistic 'rival-gap2' exists."),
    ],
)
def test_a_slip_is_one_line(rivalfed: Path, changes: Any, words: str, small_config: Configure) -> None:
    settings = {name: {**STRANGE[name], **changes.get(name, {})} for name in ("data", "training", "attack")}
    with pytest.raises(UsageError) as caught:
        config = small_config(protocol="fedavg", **settings)
        resolve(config)
        execute(config, Plan(Path("nowhere")))
    assert words in str(caught.value) and "\n" not in str(caught.value)


MODELS = """
import torch
from torch import nn
Plain = lambda shape, outputs: nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
    def forward(self, x):
        return self.layer(x.flatten(1))
class Wide(Fixed):
    def __init__(self, width):
        super().__init__()
class Soft(Fixed):
    def forward(self, x):
        return super().forward(x).softmax(1)
class Double(Fixed):
    def __init__(self):
        super().__init__()
        self.double()
class Three(Fixed):
    def forward(self, x):
        return self.layer(x.flatten(1))[:, :3]
class Broken(Fixed):
    def forward(self, x):
        return self.layer(x)
Number = 5
Made = Fixed()
def nothing(shape, outputs):
    return None
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(MODELS)
    return str(tmp_path / "nets.py")


@pytest.mark.parametrize("name", ["Plain", "Fixed"])
def test_a_model_is_a_class_without_arguments_or_made_of_shape_and_outputs(name: str, nets: str) -> None:
    first, again, other = (build(f"{nets}:{name}", (1, 8, 8), 10, "softmax", root, "x") for root in (0, 0, 1))
    weights = [next(module.parameters()).detach() for module in (first, again, other)]
    assert bool((weights[0] == weights[1]).all()) and not bool((weights[0] == weights[2]).all())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Wide", "it needs width; it is called with (shape of a record, number of outputs), or with nothing"),
        ("Soft", "must return logits"),
        ("Double", "parameter layer.weight is not float32"),
        ("Three", "give outputs of shape [2, 3]; expected [2, 10]"),
        ("Broken", "it cannot read records [1, 8, 8]: RuntimeError"),
        ("Number", "it is a int; expected an nn.Module class or a function"),
        ("Made", "it has weights already"),
        ("nothing", "it made a NoneType, not a torch.nn.Module"),
    ],
)
def test_what_is_no_model_is_one_line(name: str, words: str, nets: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(f"{nets}:{name}", (1, 8, 8), 10, "softmax", 0, "x")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "words"),
    [("fedproto", "no head and no features"), ("layerwise-async", "no two groups of layers")],
)
def test_a_model_without_the_parts_that_a_protocol_needs_is_refused(
    protocol: str, words: str, nets: str, small_config: Configure, tmp_path: Path
) -> None:
    config = small_config(protocol=protocol, training={"model": f"{nets}:Fixed"})
    with pytest.raises(UsageError, match=words):
        execute(config, Plan(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


STATISTICS = """
class Short:
    name, needs = "short", frozenset()
    def score(self, signals):
        return signals.labels[1:]
class Fails:
    name, needs = "fails", frozenset()
    def score(self, signals):
        raise KeyError("no such thing")
class Asks:
    name, needs = "asks", frozenset({"in-references"})
    def score(self, signals):
        return signals.labels
class Empty:
    pass
"""


def test_a_statistic_that_fails_is_a_row_and_the_others_stand(small_config: Configure, tmp_path: Path) -> None:
    (tmp_path / "scores.py").write_text(STATISTICS)
    names = tuple(f"{tmp_path / 'scores.py'}:{name}" for name in ("Short", "Fails", "Asks"))
    attack = {**STRANGE["attack"], "statistics": ("loss", *names), "headline": "loss"}
    result = execute(small_config(protocol="fedavg", attack=attack), Plan(tmp_path / "run", baselines=False))
    notes = {f.statistic: f.note for f in result.findings if f.flag == "error"}
    assert "gave no score" in notes[names[0]]
    assert "it failed: KeyError: 'no such thing'" in notes[names[1]]
    assert "needs in-references" in notes[names[2]]
    assert any(f.statistic == "loss" and f.value is not None for f in result.findings)


DATA = """
import numpy as np
from sklearn.datasets import load_digits
x, y = load_digits(return_X_y=True)
def pair(): return x, y
def four(): return x[:1000], y[:1000], x[1000:], y[1000:]
class Set:
    def __len__(self): return 300
    def __getitem__(self, i):
        if i >= 300: raise IndexError
        return x[i], int(y[i])
def dataset(): return Set()
def text(): return "digits"
def fails(): raise FileNotFoundError("no digits here")
def short(): return x[:10], y[:9]
"""


@pytest.mark.parametrize(("name", "train"), [("pair", 1438), ("four", 1000), ("dataset", 240), ("Set", 240)])
def test_data_are_what_a_function_returns(name: str, train: int, tmp_path: Path, small_config: Configure) -> None:
    from fedprivacy.data.sources import load

    (tmp_path / "sets.py").write_text(DATA)
    data = load(small_config(data={"dataset": f"{tmp_path / 'sets.py'}:{name}"}).data)
    assert data.name == name and data.shape == (64,) and len(data.y_train) == train
    assert data.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "it is a str; expected (x, y)"),
        ("fails", "calling it failed: FileNotFoundError: no digits here"),
        ("short", "do not match"),
        ("x", "it is a ndarray; expected (x, y)"),
    ],
)
def test_what_is_no_data_set_is_one_line(name: str, words: str, tmp_path: Path, small_config: Configure) -> None:
    from fedprivacy.data.sources import load

    (tmp_path / "sets.py").write_text(DATA)
    with pytest.raises(UsageError) as caught:
        load(small_config(data={"dataset": f"{tmp_path / 'sets.py'}:{name}"}).data)
    assert words in str(caught.value) and "\n" not in str(caught.value)
