"""``--device``: auto takes what there is and says so; a device that torch cannot use is one clear line."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from fedprivacy.cli.main import cli


def refused(device: str) -> str:
    ended = CliRunner().invoke(cli, ["run", "--device", device, "--protocol", "nothing"])
    assert ended.exit_code != 0
    return ended.output


def test_auto_says_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device auto: torch finds no GPU on this machine, so the CPU it is." in refused("auto")


def test_auto_takes_a_gpu_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "--device" not in refused("auto")
