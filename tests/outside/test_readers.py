"""A stranger's observation and reconstruction run beside those inside, and a failure of theirs is a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedprivacy
from fedprivacy.config.base import UsageError

SMALL: dict[str, Any] = {
    "dataset": "digits",
    "clients": 2,
    "rounds": 2,
    "candidates": 60,
    "auxiliary": 40,
    "public_size": 10,
    "local_epochs": 4,
    "lr": 3e-3,
    "adversary": "server",
    "baselines": False,
}

CODE = '''
import numpy as np
import torch
from fedprivacy.federation.knowledge import Observed
from fedprivacy.wire.payload import Weights

class LastUpload:
    """What each client's last upload says of the candidates."""
    name = "last upload"
    def observe(self, view, knowledge):
        told, n = view.transcripts[0], len(knowledge.candidates)
        clients, classes = knowledge.wire.federation.clients, len(knowledge.dataset.classes)
        logp = np.full((clients, 1, n, classes), np.nan)
        for message in told.messages:
            payload = told.payload(message)
            if isinstance(payload, Weights) and message.sender != "server":
                client = int(message.sender.removeprefix("client-"))
                x = knowledge.dataset.x_train[knowledge.candidates]
                logits = knowledge.workbench.logits(knowledge.wire.federation.training.model, payload.tensors, x)
                logp[client, 0] = logits.double().log_softmax(1).numpy()
        seen = ~np.isnan(logp).any(axis=(0, 3))
        return Observed(logp, seen, np.ones((1, n), dtype=bool))

class Breaks:
    name = "breaks"
    def observe(self, view, knowledge): raise KeyError("nothing here")

class Short:
    name = "short"
    def observe(self, view, knowledge):
        return Observed(np.zeros((1, 1, 3, 2)), np.ones((1, 3), bool), np.ones((1, 3), bool))

def grey(model, parameters, observed, knowledge, labels, generator):
    """Mid-grey, whatever was sent."""
    return torch.full((*labels.shape, *knowledge.input_shape), 0.5)

def broken(model, parameters, observed, knowledge, labels, generator):
    raise RuntimeError("no picture")
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "readers.py").write_text(CODE)
    return str(tmp_path / "readers.py")


def test_an_observation_gives_what_the_same_one_inside_gives(file: str, tmp_path: Path) -> None:
    names = [f"{file}:LastUpload", "uploaded-weights"]
    found = fedprivacy.run("fedavg", attack="membership", observations=names, combine="last", out=tmp_path, **SMALL)
    of = {
        name: {(f.statistic, f.target, f.metric): f.value for f in found.findings if f.observation == name}
        for name in ("last upload", "uploaded weights")
    }
    both = set(of["last upload"]) & {key for key in of["uploaded weights"] if key[0] == "loss"}
    assert both and all(of["last upload"][key] == of["uploaded weights"][key] for key in both)


@pytest.mark.parametrize(
    ("name", "words"), [("Breaks", "it failed: KeyError: 'nothing here'"), ("Short", "logp is (1, 1, 3, 2), not")]
)
def test_an_observation_that_fails_is_a_row(name: str, words: str, file: str, tmp_path: Path) -> None:
    names = [f"{file}:{name}", "uploaded-weights"]
    found = fedprivacy.run("fedavg", attack="membership", observations=names, out=tmp_path, **SMALL)
    assert any(words in f.note for f in found.findings if f.flag == "error")
    assert any(f.value is not None for f in found.findings if f.observation == "uploaded weights")


def test_a_reconstruction_is_compared_with_the_others_by_the_common_loss(file: str, tmp_path: Path) -> None:
    settings = {**SMALL, "optimizer": "sgd", "lr": 0.1, "local_steps": 1, "batch_size": 1, "iterations": 30}
    del settings["local_epochs"]
    methods = [f"{file}:grey", f"{file}:broken", "idlg"]
    found = fedprivacy.run("fedavg", attack="inversion", methods=methods, messages=2, out=tmp_path, **settings)
    rows = [f for f in found.findings if f.metric.startswith("PSNR") and "gain" not in f.metric]
    psnr = {f.statistic: f.value for f in rows if f.value is not None}
    grey = next(value for name, value in psnr.items() if name.endswith("grey"))
    assert psnr["idlg"] > grey > 5 and psnr["chosen attack"] == psnr["idlg"]


def test_a_slip_is_one_line(file: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file nowhere\.py"):
        fedprivacy.run("fedavg", attack="membership", observations="nowhere.py:Obs", out=tmp_path, **SMALL)
    with pytest.raises(UsageError, match="no inversion attack 'idlgg' exists"):
        fedprivacy.run("fedavg", attack="inversion", methods="idlgg", out=tmp_path, **SMALL)
