"""Bytes against federated averaging: fewer, as many or more, and never less than once fewer."""

from __future__ import annotations

import pytest

from fedprivacy.judge.result import Communication
from fedprivacy.judge.verdicts import bandwidth


@pytest.mark.parametrize(
    ("up", "public", "kind", "words"),
    [
        (50, 0, "supported", "20.0 times fewer bytes in messages; 20.0 times fewer with the delivery"),
        (50, 1950, "refuted", "20.0 times fewer bytes in messages; 2.0 times more with the delivery"),
        (4000, 0, "refuted", "4.0 times more bytes in messages; 4.0 times more with the delivery"),
        (1000, 0, "refuted", "as many bytes."),
    ],
)
def test_fewer_and_more_are_told_apart(up: int, public: int, kind: str, words: str) -> None:
    (verdict,) = bandwidth("mutual", Communication(up, 0, public, up, 1000, ((up, 0),)))
    assert verdict.verdict == kind
    assert words in verdict.why


def test_nothing_is_said_of_averaging_itself_or_of_silence() -> None:
    assert bandwidth("fedavg", Communication(10, 0, 0, 10, 10, ((10, 0),)), incomparable=True) == []
    assert bandwidth("mutual", Communication(10, 0, 0, 10, 1000, ((10, 0),)), incomparable=True) == []
    assert bandwidth("local", Communication(0, 0, 0, 0, 10, ())) == []
