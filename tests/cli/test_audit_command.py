"""``fedprivacy audit``: what it prints, when it ends with 1, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedprivacy import folder
from fedprivacy.cli.audit import base, command
from fedprivacy.cli.settings import configuration
from fedprivacy.study.resolve import resolve


@pytest.fixture
def scores(tmp_path: Path) -> Callable[[float], Path]:
    """A file of 600 records whose scores leak by a shift of that many standard deviations."""

    def write(leak: float) -> Path:
        rng = np.random.default_rng(0)
        member = rng.random(600) < 0.5
        path = tmp_path / "known.npz"
        np.savez(path, member=member, scores=rng.normal(size=600) + leak * member)
        return path

    return write


def test_a_false_claim_about_scores_ends_with_one(fedprivacy, scores) -> None:
    ended = fedprivacy("audit --full --epsilon 1 --scores", scores(4.0))
    assert ended.code == 1
    assert "REFUTED: One record (add-remove) has epsilon 1 at delta 1e-5" in ended.out
    assert "Apart, for no verdict rests on them" in ended.out
    assert "assumes" in ended.out


@pytest.mark.parametrize(("leak", "epsilon", "word"), [(0.0, 1, "INCONCLUSIVE"), (1.5, 4, "NOT REFUTED")])
def test_other_claims_end_with_zero(fedprivacy, scores, leak, epsilon, word) -> None:
    ended = fedprivacy(f"audit --epsilon {epsilon} --scores", scores(leak))
    assert ended.code == 0
    assert f"{word}: One record" in ended.out
    assert "no proof of privacy" in ended.out or "no evidence of privacy" in ended.out


def test_a_claim_above_the_ceiling_is_inconclusive_and_says_what_it_takes(fedprivacy, scores) -> None:
    ended = fedprivacy("audit --epsilon 6 --format json --scores", scores(9.0))
    result = json.loads(ended.out)
    assert ended.code == 0
    assert [v["verdict"] for v in result["verdicts"]] == ["inconclusive"]
    assert re.search(r"takes about [0-9,]+ canaries", result["verdicts"][0]["why"])
    judged = [row for row in result["audit"]["rows"] if row["judged"]]
    assert judged[0]["low"] == judged[0]["ceiling"] < 6


def test_an_audit_from_training_is_resumed_found_again_and_repeated_from_its_folder(fedprivacy, tmp_path) -> None:
    words = (
        "audit --protocol mutual --defense dp-sgd --epsilon 2 --canaries 40 --dataset digits --clients 2 --rounds 2 "
        "--candidates 60 --public-size 20 --auxiliary 0 --local-epochs 1 --workers 1"
    )
    first = fedprivacy(words)
    assert first.code == 0, first.err
    assert "Held against the claim" in first.out
    assert "with its noise off" in first.out
    run = next((tmp_path / "runs").iterdir())
    stored = folder.read_json(run / "result.json")
    # As after an interruption between the federation and its control.
    folder.write_json(run / "result.json", {**stored, "audit": None, "verdicts": []})
    (run / "control" / "result.json").unlink()
    assert "--resume" in fedprivacy(words).complaint
    assert fedprivacy(words + " --resume").code == 0
    again = folder.read_json(run / "result.json")
    assert (again["audit"], again["verdicts"]) == (stored["audit"], stored["verdicts"])
    found = fedprivacy(words)
    assert "Found in" in found.err
    assert found.out == first.out or "Held against the claim" in found.out
    other = fedprivacy("audit --statistic loss,ratio --out elsewhere", run)
    assert other.code == 0
    assert "corrected for 8 rows" in other.out
    assert len(list((tmp_path / "elsewhere").glob("*/result.json"))) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("audit --scores known.npz", "with --epsilon"),
        ("audit --scores known.npz --epsilon 2 --rounds 3", "--rounds does nothing with --scores"),
        ("audit nowhere", "holds no finished run"),
        ("audit nowhere --control", "nothing is trained"),
        ("audit nowhere --epsilon 3", "--epsilon does nothing with a stored run"),
        ("audit {small} --defense dp-sgd --epsilon 2 --coins client", "use record coins"),
        ("audit {small} --defense dp-sgd --epsilon 2 --canaries 500", "lower --canaries"),
        ("audit {small} --defense dp-sgd --epsilon 2 --guesses 5000", "--guesses: 5000 guesses need as many canaries"),
        ("audit {small} --defense dp-sgd", "needs --epsilon"),
        ("audit {small} --protocol local", "sends nothing"),
    ],
)
def test_what_cannot_be_audited_is_one_line(fedprivacy, scores, line, words) -> None:
    scores(1.0)
    ended = fedprivacy(line)
    assert ended.code == 2
    assert words in ended.complaint


@pytest.mark.parametrize(
    ("words", "protocol", "kind", "observation"),
    [
        ("--defense dp-sgd", "fedavg", "orthogonal", "noised-updates"),
        ("--defense dp-fedavg", "fedavg", "opposite", "coin-updates"),
        ("--defense gaussian", "mutual", "orthogonal", "coin-answers"),
        ("--defense laplace", "mutual", "orthogonal", "coin-answers"),
        ("--defense gaussian --coins pair", "mutual", "orthogonal", "coin-answers"),
        ("--defense gaussian --defense-set unit=client --coins client", "mutual", "opposite", "coin-answers"),
        ("--protocol fedavg --defense dp-fedavg --coins client", "fedavg", "opposite", "coin-updates"),
    ],
)
def test_what_a_claim_lets_its_adversary_see_is_read_unless_told_otherwise(words, protocol, kind, observation) -> None:
    given = command.make_context("audit", [*words.split(), "--epsilon", "4"]).params
    settings = {name: value for name, value in given.items() if "__" in name or name.endswith("_set") or name == "seed"}
    config = configuration(settings, base(settings))
    assert (config.protocol, config.canaries.kind) == (protocol, kind)
    assert config.attack.observations == (observation,)
    assert resolve(config).wire.one_coin_a_client == (observation != "noised-updates")
    assert config.data.candidates is not None
    assert config.data.candidates >= (1 if config.canaries.coins == "record" else 2)


def test_an_audit_of_whole_clients_reads_their_coins(fedprivacy) -> None:
    ended = fedprivacy("audit --defense dp-fedavg --epsilon 8 --clients 40 --seeds 1 --no-control --format json")
    found = json.loads(ended.out)["audit"]
    assert (found["unit"], found["relation"], found["m"], found["canaries"]) == (
        "client",
        "replace-one",
        40,
        "opposite records",
    )
    assert max(row["low"] for row in found["rows"] if row["judged"]) > 0
