"""A claim about a federation that ran elsewhere is held against what attacking its recording finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import fedprivacy
from fedprivacy import folder
from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One client that trained long on few records and sent its weights once."""
    where = tmp_path_factory.mktemp("audited") / "rec"
    game = fedprivacy.deal("digits", clients=1, candidates=400, rounds=1, auxiliary=50)
    with fedprivacy.record(where, game) as wire:
        net = game.model()
        x, y = map(torch.from_numpy, game.private(0))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        wire.sent(1, "client-0", "server", weights=net)
    return where


@pytest.fixture
def recording(elsewhere: Path, tmp_path: Path) -> Path:
    """A copy to attack."""
    return Path(shutil.copytree(elsewhere, tmp_path / "rec"))


def test_a_claim_below_what_is_measured_is_refuted_and_a_large_one_is_not(recording: Path) -> None:
    small = fedprivacy.audit(recording, epsilon=0.02, statistic="loss")
    assert small.verdicts[0].verdict == "refuted" and small.audit is not None and small.audit.m == 400
    assert small.privacy.accountant == "stated by the user" and small.privacy.unit == "record"
    large = fedprivacy.audit(recording, epsilon=3, delta=1e-4, statistic="loss")
    assert large.verdicts[0].verdict == "not refuted" and large.audit is not None and large.audit.delta == 1e-4
    known = {f.knowledge for f in small.findings}
    assert known == {"no client's start, no hyper-parameters, all of each pool, 50 records of its own; effort default"}


def test_the_command_says_it_and_exits_by_it(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["audit", str(recording), "--statistic", "loss"]
    assert cli.main([*words, "--epsilon", "0.02"], standalone_mode=False) == 1
    assert "REFUTED" in capsys.readouterr().out
    refused = {
        "": "say what is claimed, with --epsilon",
        "--epsilon -1": "a finite number above 0",
        "--epsilon 1 --clients 3": "--clients does nothing with a recording",
    }
    for more, told in refused.items():
        with pytest.raises(UsageError, match=told):
            cli.main([*words, *more.split()], standalone_mode=False)


def test_what_a_coin_decides_is_recorded(tmp_path: Path) -> None:
    game = fedprivacy.deal("digits", clients=2, candidates=30, rounds=1, coins="pair")
    with fedprivacy.record(tmp_path / "rec", game) as wire:
        for client in range(2):
            wire.sent(1, f"client-{client}", "server", weights=game.model(client))
    found = fedprivacy.audit(tmp_path / "rec", epsilon=1, statistic="loss")
    assert found.audit is not None and (found.audit.relation, found.audit.m) == ("replace-one", 30)
    content = folder.read_json(tmp_path / "rec" / "game.json")
    folder.write_json(tmp_path / "rec" / "game.json", {**content, "coins": "dice"})
    with pytest.raises(UsageError, match="'coins' is 'dice', not one of record, pair, client"):
        fedprivacy.audit(tmp_path / "rec", epsilon=1)
