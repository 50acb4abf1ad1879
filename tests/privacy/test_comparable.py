"""Claims and coins: what may be compared, as which figures, and what is refused."""

from __future__ import annotations

import math

import pytest

from fedprivacy.privacy.comparable import Comparable, Game, Incomparable, comparable

RECORD, PAIR = Game("record", "add-remove"), Game("record", "replace-one")
CLIENT, ABSENT = Game("client", "replace-one"), Game("client", "add-remove")


@pytest.mark.parametrize("game", [RECORD, PAIR, CLIENT, ABSENT])
def test_the_same_game_changes_nothing(game: Game) -> None:
    assert comparable(game, 4.0, 1e-5, game) == Comparable(4.0, 1e-5)


@pytest.mark.parametrize(("claimed", "played"), [(RECORD, PAIR), (ABSENT, CLIENT), (ABSENT, RECORD)])
def test_one_out_and_another_in_costs_twice(claimed: Game, played: Game) -> None:
    found = comparable(claimed, 2.0, 1e-5, played)
    assert found.epsilon == 4.0
    assert found.delta == pytest.approx((1 + math.exp(2.0)) * 1e-5)
    assert str(claimed) in found.how


@pytest.mark.parametrize("played", [RECORD, PAIR])
def test_replacing_a_whole_client_covers_each_of_its_records(played: Game) -> None:
    found = comparable(CLIENT, 3.0, 1e-5, played)
    assert (found.epsilon, found.delta) == (3.0, 1e-5)
    assert found.how


@pytest.mark.parametrize(
    ("claimed", "played", "why"),
    [
        (RECORD, CLIENT, "one record"),
        (PAIR, CLIENT, "one record"),
        (PAIR, RECORD, "pair coins"),
        (CLIENT, ABSENT, "none follows"),
    ],
)
def test_what_does_not_follow_is_refused_with_the_reason(claimed: Game, played: Game, why: str) -> None:
    with pytest.raises(Incomparable, match=why):
        comparable(claimed, 1.0, 1e-5, played)


def test_a_delta_that_reaches_one_says_nothing() -> None:
    with pytest.raises(Incomparable, match="reaches 1"):
        comparable(RECORD, 20.0, 1e-5, PAIR)
