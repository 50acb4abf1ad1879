"""One small run of every protocol through the command line, with the numbers that it gave when this was written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import from_json
from fedprivacy.study.membership.measured import DONE

Call = Callable[..., Any]


@dataclass(frozen=True)
class Golden:
    """Raw values on the wire, delivery of public records, mean test accuracy."""

    payload: int
    public: int
    accuracy: float
    exact: bool = True
    """Whether the bytes are; compressed ones may differ by a little on another machine."""


WEIGHTS = 4 * (64 * 256 + 256 + 256 * 10 + 10)
GOLDEN = {
    "mutual": Golden(2 * 2 * 2 * 20 * 40, 2 * 2 * 20 * 65, 0.228),
    "fedavg": Golden(2 * 2 * (2 * WEIGHTS + 4), 0, 0.111),
    "fedprox": Golden(2 * 2 * (2 * WEIGHTS + 4), 0, 0.111),
    "layerwise-async": Golden(2 * (2 * 4 * (64 * 256 + 256) + 4) + 2 * (2 * 4 * (256 * 10 + 10) + 4), 0, 0.162),
    "fedasync": Golden(2 * 2 * 2 * WEIGHTS, 0, 0.120),
    "fedbuff": Golden(2 * 2 * 2 * WEIGHTS, 0, 0.120),
    "fml": Golden(2 * 2 * 2 * WEIGHTS, 0, 0.153),
    "fedkd": Golden(457_712, 0, 0.153, exact=False),
    "fedckd": Golden(2 * 2 * (2 * WEIGHTS + 4), 0, 0.127),
    "fedmd": Golden(2 * 2 * 2 * 20 * 40, 2 * 2 * 20 * 65, 0.294),
    "ds-fl": Golden(2 * 2 * 2 * 20 * 40, 2 * 2 * 20 * 64, 0.100),
    "cfd": Golden(33, 2 * 20 * 64, 0.100, exact=False),
    "feddf": Golden(2 * 2 * (2 * WEIGHTS + 4), 0, 0.109),
    "fedproto": Golden(82_080, 0, 0.155),
    "profe": Golden(389_440, 0, 0.153, exact=False),
    "dfedavg": Golden(2 * 2 * 2 * WEIGHTS, 0, 0.111),
    "gossip-mutual": Golden(2 * 2 * 2 * WEIGHTS, 0, 0.153),
    "fedkd-hybrid": Golden(2 * 2 * (2 * WEIGHTS + 4 + 2 * 20 * 40), 2 * 2 * 20 * 64, 0.201),
    "local": Golden(0, 0, 0.153),
    "central": Golden(0, 0, 0.109),
}


def short(name: str) -> str:
    """One pass where the default is several, few steps where it is thousands."""
    words = ""
    for field, info in CARDS[name].options.model_fields.items():
        if field.endswith("epochs") and info.default > 1:
            words += f" --set {field}=1"
        if field in ("steps", "patience"):
            words += f" --set {field}=4"
        if field == "deep_every":
            words += f" --set {field}=2"
    return words


def test_every_protocol_has_a_golden_run() -> None:
    assert set(GOLDEN) == set(CARDS)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_run_of_every_protocol(name: str, fedprivacy: Call, tmp_path: Path) -> None:
    attack = "" if CARDS[name].bound else "--attack membership"
    line = f"run --protocol {name} {{small}} {attack} --no-baselines --format json {short(name)}"
    ended = fedprivacy(line)
    assert ended.code == 0 and ended.err == ""
    result = from_json(json.loads(ended.out))
    golden = GOLDEN[name]
    tolerance = {"abs": 0} if golden.exact else {"rel": 0.2}
    assert result.communication.payload_bytes == pytest.approx(golden.payload, **tolerance)
    assert result.communication.public_bytes == golden.public
    assert result.utility["test_accuracy"].mean == pytest.approx(golden.accuracy, abs=0.1)
    assert len(result.communication.per_round) == 2 and len(result.utility["test_accuracy"].per_client) in (1, 2, 3)
    assert bool(result.findings) == bool(attack)
    for finding in result.findings:
        if finding.statistic == DONE:
            assert finding.value is not None and finding.chance is None
        elif finding.value is None:
            assert finding.flag in ("below", "error") and finding.note
        else:
            assert finding.chance is not None and finding.low is not None and finding.high is not None and finding.n
    (where,) = (tmp_path / "runs").glob(f"{name}-*")
    assert {path.name for path in where.iterdir()} >= {"config.toml", "result.json", "checkpoint", "transcript"}
    assert folder.read_json(where / "result.json") == json.loads(ended.out)
    stored = RunConfig.model_validate(tomllib.loads((where / "config.toml").read_text()))
    assert stored.model_dump(mode="json") == json.loads(ended.out)["config"]
    assert not [path for path in where.rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".pickle")]
