"""``fedprivacy audit --mechanism``: what it prints, when it ends with 1, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

OWN = """
import numpy as np

rng = np.random.default_rng(0)
zero, one = np.zeros(1), np.ones(1)


def without():
    return np.zeros(1)


def noised(x):
    return x + rng.laplace(size=x.shape)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A mechanism of epsilon 1 at distance 1."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_false_claim_ends_with_one_and_a_true_one_with_zero(fedprivacy, own) -> None:
    words = f"audit --mechanism {own}:noised --neighbours without,one --calls 4000 --epsilon"
    ended = fedprivacy(words, "0.5")
    assert ended.code == 1
    assert "REFUTED: noised has epsilon 0.5 at delta 1e-5 for neighbouring inputs" in ended.out
    assert "4,000, of which 2,002 judge" in ended.out
    ended = fedprivacy(words, "1.1", "--relation", "add-remove")
    assert ended.code == 0
    assert "NOT REFUTED: noised has epsilon 1.1 at delta 1e-5 for add-remove inputs" in ended.out


def test_an_audit_that_may_stop_early_says_after_how_many_calls_it_did(fedprivacy, own) -> None:
    words = f"audit --mechanism {own}:noised --neighbours without,one --calls 9000 --stop-early --epsilon"
    ended = fedprivacy(words, "0.3", "--format", "json")
    found = json.loads(ended.out)
    assert ended.code == 1
    assert found["calls"] < found["budget"] == 9000 and found["evidence"] >= 20
    ended = fedprivacy(words, "0.3")
    assert re.search(r"Bets against it won after [0-9,]+ of up to 9,000 calls", " ".join(ended.out.split()))


def test_neighbours_are_found_from_a_sensitivity_and_json_has_all_of_it(fedprivacy, own) -> None:
    ended = fedprivacy(
        f"audit --mechanism {own}:noised --sensitivity 2 --norm l1 --epsilon 1 --delta 0 --calls 6000 --format json"
    )
    found = json.loads(ended.out)
    assert ended.code == 1
    assert 1 < found["low"] < 2
    assert found["delta"] == 0 and found["calls"] == 6000
    assert found["inputs"].startswith("one coordinate")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--mechanism own.py:noised --sensitivity 1", "with --epsilon"),
        ("--mechanism own.py:noised --epsilon 1", "one of the two"),
        ("--mechanism own.py:noised --epsilon 1 --neighbours zero", "two names separated by a comma"),
        ("--mechanism own.py:noised --epsilon 1 --neighbours zero,on", "Did you mean 'one'"),
        ("--mechanism own.py:noised --epsilon 1 --neighbours zero,zero", "both inputs are equal"),
        ("--mechanism own.py:noised --epsilon 1 --neighbours zero,one --shape 2", "--shape does nothing"),
        ("--mechanism own.py:noised --epsilon 1 --neighbours zero,one --calls 9", "400 at least"),
        ("--mechanism own.py:noised --epsilon 1 --sensitivity 1 --calls 900", "to try 2 pairs of inputs"),
        ("--mechanism own.py:noised --epsilon -1 --sensitivity 1", "finite number above 0"),
        ("--mechanism own.py:noised --epsilon 1 --delta 2 --sensitivity 1", "--delta: at least 0 and below 1"),
        ("--mechanism own.py:noised --epsilon 1 --sensitivity 0", "--sensitivity: a finite number above 0"),
        ("--mechanism own.py:noised --epsilon 1 --sensitivity 1 --shape 0", "every size is at least 1"),
        ("--mechanism own.py:rng --epsilon 1 --sensitivity 1", "a function of an input is wanted"),
        ("--mechanism own.py:noised --epsilon 1 --sensitivity 1 --rounds 3", "--rounds does nothing with --mechanism"),
        ("--mechanism own.py:noised --epsilon 1 --sensitivity 1 --out there", "--output FILE writes"),
        ("--mechanism own.py:noised --epsilon 1 --scores x.npz", "one of a stored run"),
        ("--defense dp-sgd --epsilon 1 --calls 3", "--calls does nothing without --mechanism"),
        ("--defense dp-sgd --epsilon 1 --stop-early", "--stop-early does nothing without --mechanism"),
    ],
)
def test_what_cannot_be_audited_is_one_line(fedprivacy, own, line, words) -> None:
    ended = fedprivacy(f"audit {line}")
    assert ended.code == 2
    assert words in ended.complaint
