"""``compare``: seats and shares that can be attacked, one training for all shares, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.position import Adversary
from fedprivacy.cli.compare import EFFORT, _configured, _told_topology
from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.reporting import schema
from fedprivacy.study.every import every_seat
from fedprivacy.study.resolve import resolve

SMALL = (
    *("--attack", "membership", "--dataset", "digits", "--candidates", "60", "--rounds", "2", "--clients", "3"),
    *("--auxiliary", "60", "--effort", "default", "--workers", "1", "--adversary", "server"),
)


def test_every_seat_is_attacked_and_thoroughly_unless_told_otherwise() -> None:
    averaged = _configured("fedavg", "", {"attack__attacks": "membership"})
    assert averaged.attack.effort == EFFORT
    assert set(averaged.attack.adversaries) >= {"server", "client-0"}
    assert _configured("profe", "", {"attack__attacks": "membership"}).attack.adversaries[-1] == "eavesdropper"
    quick = _configured("mutual", "server, client-1", {"attack__attacks": "membership", "attack__effort": "default"})
    assert quick.attack.effort == "default" and quick.attack.adversaries == ("server", "client-1")
    assert _configured("local", "", {"attack__attacks": "membership"}).attack.attacks == ()
    alone = RunConfig(protocol="local", attack=AttackConfig(attacks=("membership",)))
    assert every_seat(alone) == ()


@pytest.mark.parametrize("number", [1, 2])
def test_where_few_clients_are_attacked_every_seat_attacks_the_same(number: int) -> None:
    config = RunConfig(protocol="mutual", attack=AttackConfig(attacks=("membership",), followed=number))
    attacked = [
        followed(adversary, resolve(config).wire, number) for adversary in map(Adversary.parse, every_seat(config))
    ]
    assert len(attacked) == 3 and set(attacked) == {tuple(range(number))}


def test_one_training_serves_all_shares(tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        cli, ["compare", "fedavg", *SMALL, "--known-shares", "1,0.5", "--out", str(tmp_path), "--format", "markdown"]
    )
    assert ran.exit_code == 0, ran.output
    assert "fedavg, 50% known" in ran.output and "50% of each pool" in ran.output
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*/result.json")]
    shares = {result["config"]["attack"]["known_share"]: result for result in results}
    assert set(shares) == {0.5, 1.0} and shares[0.5]["utility"] == shares[1.0]["utility"]
    assert any("attacked with other knowledge" in note for note in shares[0.5]["provenance"]["notes"])
    sizes = {
        share: next(f["n"] for f in one["findings"] if f["headline"] and f["metric"] == "AUC")
        for share, one in shares.items()
    }
    assert sizes == {1.0: 180, 0.5: 90}


def test_a_comparison_is_kept_with_its_page_figure_and_rows(tmp_path: Path) -> None:
    line = [
        "compare",
        "fedavg",
        "fml",
        *SMALL,
        "--attack",
        "labels",
        "--partition",
        "tasks",
        "--classes-per-client",
        "5",
    ]
    ran = CliRunner().invoke(cli, [*line, "--clients", "2", "--statistic", "loss", "--out", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    words = " ".join(ran.output.split())
    assert "trains better models than fedavg. Accuracy on each client's own classes" in words
    assert "fml sends fewer bytes than fedavg" in words and "Classes that a client holds" in words
    (kept,) = tmp_path.glob("compare-fedavg-fml-*")
    assert {path.name for path in kept.iterdir()} == {
        *("report.html", "comparison.md", "rows.csv", "comparison.json", "leakage-over-accuracy.png"),
    }
    assert (kept / "leakage-over-accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (kept / "report.html").read_text()
    assert max(map(len, ran.output.splitlines())) <= 80 + len(str(tmp_path))
    stored = json.loads((kept / "comparison.json").read_text())
    jsonschema.validate(stored, schema.stored("runs"))
    for name in (kept, kept / "comparison.json"):
        again = CliRunner().invoke(cli, ["report", str(name), "--format", "markdown"])
        assert again.exit_code == 0 and again.output == (kept / "comparison.md").read_text()
    assert "<svg" in CliRunner().invoke(cli, ["report", str(kept), "--format", "html"]).output
    ran = CliRunner().invoke(cli, ["report", str(kept), "--per-record"])
    assert isinstance(ran.exception, UsageError) and "--per-record is about one" in str(ran.exception)
    (kept / "comparison.json").write_text(json.dumps(stored).replace('"fml"', '"fmm"', 1))
    ran = CliRunner().invoke(cli, ["report", str(kept)])
    assert isinstance(ran.exception, UsageError) and "was changed after it was written" in str(ran.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--known-shares", "0"), "--known-shares"),
        (("--known-shares", "half"), "no number"),
        (("--known-shares", "1,2"), "at most 1"),
    ],
)
def test_shares_that_cannot_be_are_told(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli, ["compare", "fedavg", *SMALL, *words, "--out", str(tmp_path)])
    assert isinstance(ran.exception, UsageError) and told in str(ran.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--baselines", "--no-baselines"])
def test_baselines_are_named_as_protocols(flag: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli, ["compare", "fedavg", *SMALL, flag, "--out", str(tmp_path)])
    assert isinstance(ran.exception, UsageError) and "name local or central" in str(ran.exception)
    assert not list(tmp_path.iterdir())


def test_an_adversary_that_no_protocol_has_is_told() -> None:
    with pytest.raises(UsageError, match="none of active-server"):
        _configured("fedproto", "active-server", {"attack__attacks": "membership"})


def test_a_topology_applies_to_those_that_have_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"attack__attacks": "membership", "topology": "star"}
    assert _configured("dfedavg", "", given).topology == "star"
    assert _configured("fedavg", "", given).topology == RunConfig().topology
    written = tmp_path / "star.toml"
    written.write_text('topology = "star"\n')
    by_file = {"attack__attacks": "membership", "config": str(written)}
    assert [_configured(name, "", by_file).topology for name in ("profe", "fedavg")] == ["star", "ring"]
    _told_topology(["dfedavg", "fedavg", "local"], given)
    said = capsys.readouterr().err
    assert "--topology star: applies to dfedavg alone; fedavg, local" in said
    _told_topology(["dfedavg", "profe"], by_file)
    assert not capsys.readouterr().err
    with pytest.raises(UsageError, match="passes a server"):
        _told_topology(["fedavg", "mutual"], by_file)
