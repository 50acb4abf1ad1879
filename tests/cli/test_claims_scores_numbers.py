"""Claims, scores files and numbers that are not what they are called: told in one line, or taken for what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Call = Callable[..., Any]


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture
def bank() -> dict[str, Any]:
    """Six models of 120 records, each trained on half of them."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 120)
    member = draw.random((6, 120)) < 0.5
    logits = draw.normal(size=(6, 120, 4))
    logits[:, np.arange(120), labels] += 1.0 + member
    return {"labels": labels, "member": member, "logits": logits}


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "-inf", "1e400", "x"])
def test_a_claim_is_a_finite_number_above_zero_at_every_door(value: str, fedprivacy: Call) -> None:
    np.savez("scores.npz", member=np.arange(200) % 2, scores=np.arange(200) % 7)
    for line in (f"audit --scores scores.npz --epsilon={value}", f"audit --defense dp-sgd --epsilon={value}"):
        ended = fedprivacy(line)
        assert ended.code == 2 and ended.out == "" and "--epsilon" in ended.complaint, line


def test_an_audit_needs_fair_coins(fedprivacy: Call) -> None:
    ended = fedprivacy("audit {small} --defense dp-sgd --epsilon 4 --inclusion 0.8")
    assert ended.code == 2 and "--inclusion must be 0.5" in ended.complaint
    np.savez("scores.npz", member=np.arange(400) % 5 != 0, scores=np.arange(400) % 7)
    ended = fedprivacy("audit --scores scores.npz --epsilon 4")
    assert ended.code == 2 and "320 of 400 flags say member" in ended.complaint


def test_probabilities_are_taken_by_their_name_alone(bank: dict[str, Any], fedprivacy: Call) -> None:
    others = {name: values for name, values in bank.items() if name != "logits"}
    probabilities = softmax(bank["logits"])
    np.savez("logits.npz", **bank)
    np.savez("called-logits.npz", **others, logits=probabilities)
    np.savez("probs.npz", **others, probs=probabilities)
    np.savez("log_probs.npz", **others, log_probs=np.log(probabilities))
    np.savez("called-probs.npz", **others, probs=bank["logits"])
    ended = fedprivacy("attack --scores called-logits.npz")
    assert ended.code == 2 and "are probabilities" in ended.complaint and "call them probs" in ended.complaint
    assert "call logits logits" in fedprivacy("attack --scores called-probs.npz").complaint
    said = [fedprivacy(f"attack --format json --scores {name}.npz") for name in ("logits", "probs", "log_probs")]
    tables = [[line for line in one.out.splitlines() if '"value"' in line] for one in said]
    values = [
        [round(float(line.split(":")[1].strip(" ,")), 9) for line in table if "null" not in line] for table in tables
    ]
    assert values[0] and values[0] == values[1] == values[2]


@pytest.mark.parametrize("statistic", ["lira-online", "base-online", "bavaria"])
def test_statistics_with_members_among_the_references_work_on_a_file(
    statistic: str, bank: dict[str, Any], fedprivacy: Call
) -> None:
    np.savez("bank.npz", **bank)
    ended = fedprivacy(f"attack --scores bank.npz --full --headline {statistic}")
    assert ended.code == 0 and f"{statistic} *" in ended.out


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"is_member": [0, 1], "scores": [1.0, 2.0]}, "is_member is called member here"),
        ({"member": [0, 1], "loss": [1.0, 2.0]}, "negate it, scores = -loss"),
        ({"member": [0, 1], "score": [1.0, 2.0]}, "score is called scores here"),
        ({"member": [0, 1], "y": [0, 1], "target_logits": [[0.0, 3.0]] * 2}, "y is called labels here"),
    ],
    ids=str,
)
def test_other_names_are_told(arrays: dict[str, Any], words: str, fedprivacy: Call) -> None:
    np.savez("other.npz", **{name: np.array(values) for name, values in arrays.items()})
    assert words in fedprivacy("attack --scores other.npz").complaint


def test_training_that_diverges_in_its_last_step_is_told(fedprivacy: Call) -> None:
    ended = fedprivacy(
        "run {small} --protocol fedavg --optimizer sgd --lr 1e30 --local-steps 1 --rounds 1 --no-baselines "
        "--format json"
    )
    assert ended.code == 2 and ended.out == "" and "training diverged" in ended.complaint


def test_a_huge_test_loss_is_remarked_on(fedprivacy: Call) -> None:
    ended = fedprivacy(
        "run {small} --protocol fedavg --optimizer sgd --lr 3e3 --local-steps 1 --rounds 1 --no-baselines"
    )
    assert ended.code == 0 and "all but diverged" in " ".join(ended.out.split())


def test_coins_on_one_side_are_told_before_training(fedprivacy: Call, tmp_path: Path) -> None:
    ended = fedprivacy("run {small} --attack membership --clients 1 --protocol fedavg --candidates 2 --seed 1")
    assert ended.code == 2 and "fell on one side" in ended.complaint
    assert not (tmp_path / "runs").exists()


def test_where_one_client_speaks_no_statistic_counts_on_references(fedprivacy: Call) -> None:
    ended = fedprivacy(
        "run {small} --protocol fedavg --attack membership --clients 5 --participation 0.2 --rounds 1 --no-baselines "
        "--adversary server --statistic loss,ratio"
    )
    assert ended.code == 0 and "nothing is known" not in ended.out


@pytest.mark.parametrize("flag", ["--seeds", "--shadows", "--threads", "--seed", "--rounds", "--candidates"])
def test_numbers_that_no_machine_holds(flag: str, fedprivacy: Call) -> None:
    for value in (2**63, 2**64, 10**30):
        ended = fedprivacy(f"run {{small}} {flag} {value}")
        assert ended.code == 2 and flag in ended.complaint


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --protocol mutual --set payload=logits --defense gaussian --epsilon 4", "--defense-set clip"),
        ("run --protocol fedavg --defense randomized-response", "--defense-set epsilon0"),
        ("run --protocol fedavg --defense dp-sgd --epsilon 4", "use --set weighting=uniform"),
    ],
)
def test_messages_name_flags_that_exist(line: str, words: str, fedprivacy: Call) -> None:
    ended = fedprivacy(line)
    assert ended.code == 2 and words in ended.complaint and "--set clip" not in ended.complaint


def test_no_control_character_reaches_the_terminal(fedprivacy: Call, tmp_path: Path) -> None:
    evil = "\x1b[2J\x07\u202e"
    (tmp_path / f"{evil}.toml").write_text(f'"{"ru"}\\u001b[31m" = 3\n')
    for line in (f"run --config '{evil}.toml'", f"run --protocol '{evil}'", f"run --set '{evil}=1'", f"'{evil}'"):
        ended = fedprivacy(line)
        assert ended.code == 2 and ended.complaint.isprintable(), repr(ended.err)
