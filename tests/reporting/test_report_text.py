"""Numbers in words: digits that the interval supports, sides of chance that rounding must not change."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprivacy.reporting import text

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}
NUMBER = r"[+-]?[0-9][0-9,]*(?:\.[0-9]+)?"


def parsed(words: str) -> tuple[float, float, float]:
    value, low, high = (float(found.replace(",", "")) for found in re.findall(NUMBER, words))
    return value, low, high


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),
        (1_584_000, "1.58 MB"),
        (48_843_840, "48.8 MB"),
        (99_960_000, "100 MB"),
        (7.4e18, "7,400 PB"),
    ],
)
def test_sizes_have_three_digits_and_a_plain_unit(number: float, words: str) -> None:
    assert text.size(number) == words


@given(st.integers(0, 10**17))
def test_a_size_is_right_to_half_a_per_cent(number: int) -> None:
    shown, unit = text.size(number).split(" ")
    assert float(shown) * UNITS[unit] == pytest.approx(number, rel=0.0051)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        text.size(-1)


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.776, 0.75, 0.80, "0.776 [0.75, 0.80]"),
        (0.7764, 0.7551, 0.7977, "0.776 [0.76, 0.80]"),
        (0.62, 0.4, 0.81, "0.62 [0.40, 0.81]"),
        (0.7761, 0.7722, 0.7803, "0.7761 [0.772, 0.780]"),
        (0.5, 0.0, 1.0, "0.50 [0.00, 1.00]"),
        (1.0, 0.9637, 1.0, "1.000 [0.96, 1.00]"),
        (2.31, 1.12, 3.53, "2.3 [1.1, 3.5]"),
        (17.12, 14.2, 20.1, "17.1 [14, 20]"),
        (0.25, 0.25, 0.25, "0.250 [0.250, 0.250]"),
        (-0.0001, -0.02, 0.02, "0.000 [-0.02, 0.02]"),
    ],
)
def test_digits_follow_the_interval(value: float, low: float, high: float, words: str) -> None:
    assert text.estimate(value, low, high) == words


def test_no_number_stands_without_a_word_on_its_interval() -> None:
    assert text.estimate(None, None, None) == "-"
    assert text.estimate(0.5, None, None) == "0.500 (no interval)"


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_rounding_keeps_order_and_the_side_of_chance(a: float, b: float, c: float, chance: float) -> None:
    low, value, high = sorted((a, b, c))
    shown, shown_low, shown_high = parsed(text.estimate(value, low, high, against=chance))
    places = 10**-text.MOST_DECIMALS
    assert abs(shown - value) <= 0.0051
    assert shown_low <= shown + 0.0051
    assert shown <= shown_high + 0.0051
    if low > chance + places:
        assert shown_low > chance
    if high < chance - places:
        assert shown_high < chance


def test_an_end_that_rounds_onto_chance_gets_another_digit() -> None:
    assert text.estimate(0.53, 0.504, 0.556) == "0.530 [0.50, 0.56]"
    assert text.estimate(0.53, 0.504, 0.556, against=0.5) == "0.530 [0.504, 0.556]"


@given(st.floats(0.001, 1e6))
def test_a_claim_is_never_rounded_down_and_a_bound_never_up(value: float) -> None:
    assert float(text.epsilon(value, "up")) >= value * (1 - 1e-6)
    assert float(text.epsilon(value, "down")) <= value * (1 + 1e-6)
    assert float(text.epsilon(value, "up")) == pytest.approx(value, rel=0.011)


def test_epsilon_in_words() -> None:
    assert [text.epsilon(e) for e in (None, float("inf"), 0.0, 4.0, 3.99912, 0.5)] == [
        "infinite",
        "infinite",
        "0",
        "4",
        "4",
        "0.5",
    ]
    assert text.epsilon(2.16518, "down") == "2.16"
    assert text.epsilon(2.16518, "up") == "2.17"


def test_control_and_direction_characters_are_replaced() -> None:
    assert text.clean("\x1b[31mred\x1b[0m") == "\ufffd[31mred\ufffd[0m"
    assert text.clean("a\u202eb\nc\td") == "a\ufffdb c d"
    assert text.clean("学習 é ε") == "学習 é ε"


@given(st.text())
def test_clean_text_is_one_line_without_controls(words: str) -> None:
    shown = text.clean(words)
    assert shown.splitlines() == ([shown] if shown else [])
    assert all(character.isprintable() or character not in "\x00\x07\x1b\x7f\x9b" for character in shown)


def test_small_words() -> None:
    assert text.duration(0.4211) == "0.42 s"
    assert text.duration(71.43) == "1 min 11 s"
    assert text.duration(59.97) == "1 min 00 s"
    assert text.duration(11_520) == "3 h 12 min"
    assert text.times(312.4) == "312"
    assert text.times(30.83) == "31"
    assert text.times(2.394) == "2.4"
    assert text.counted(1, "client") == "1 client"
    assert text.counted(1004, "member") == "1,004 members"
    assert text.listed("abc") == "a, b and c"
    assert text.listed("abcdefgh", most=3) == "a, b, c and 5 more"
    assert text.scientific(1e-5) == "1e-5"
    assert text.scientific(0.001) == "0.001"
    assert text.percent(0.123) == "12%"
    assert text.percent(0.0123) == "1.2%"
    assert text.levels([0.99, 0.95, 0.95]) == "95% and 99%"
