"""Numbers in words: one way to write a value, its interval, a chance band, bytes, epsilon and time.

Digits follow the interval: a value keeps two significant digits of its half width, the ends of the interval one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

MISSING = "-"
MOST_DECIMALS = 4
_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def clean(value: object) -> str:
    """``value`` as one line. Control characters and direction marks, which could rewrite a terminal, become U+FFFD."""
    return printable(" ".join(str(value).split()))


def printable(text: str) -> str:
    """``text`` with its lines kept; other control characters and direction marks become U+FFFD."""
    if text.isascii() and (text.isprintable() or text.replace("\n", "").isprintable()):
        return text
    return "".join("\ufffd" if _rewrites(c) and c != "\n" else c for c in text)


def _rewrites(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cs") or c in _BIDI_CONTROLS


def plain(value: object) -> str:
    """A setting in words: ``none``, ``yes``, ``no``, ``0.5``, ``a, b``; anything else as it is."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return clean(value)


def count(number: int) -> str:
    """``1,004``."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """``1 client``, ``5 clients``."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def size(number: float) -> str:
    """Bytes in decimal units with three digits: ``1.58 MB`` (1 MB = 1,000,000 bytes). Raises on a negative size."""
    if number < 0:
        raise ValueError(f"a size in bytes is never negative, got {number}.")
    scaled = float(number)
    for unit in _BYTE_UNITS:
        shown = _digits(scaled, unit)
        if float(shown.replace(",", "")) < 1000:
            break
        scaled /= 1000
    return f"{shown} {unit}"


def sizes(numbers: Sequence[float]) -> list[str]:
    """Bytes that stand below each other, all in one unit: that of the most, unless the least is below 0.01 in it."""
    least = min((number for number in numbers if number), default=0)
    units = (size(max(numbers)).split()[1], size(100 * least).split()[1])
    place = min(map(_BYTE_UNITS.index, units))
    return [f"{_digits(number / 1000**place, _BYTE_UNITS[place])} {_BYTE_UNITS[place]}" for number in numbers]


def _digits(scaled: float, unit: str) -> str:
    if unit == "B" or scaled >= 99.95 or not scaled:
        return f"{scaled:,.0f}"
    return f"{scaled:#.3g}"


def decimals(low: float, high: float, value: float | None = None) -> tuple[int, int]:
    """Decimals of a value and of its interval ends, from half the interval's width (two digits of it, and one)."""
    largest = max(abs(low), abs(high), abs(value or 0.0))
    fewest = 2 if largest <= 1 else 1 if largest < 10 else 0
    half = (high - low) / 2
    if half <= 0 or not math.isfinite(half):
        return max(fewest, 3 if largest <= 1 else 2), max(fewest, 3 if largest <= 1 else 2)
    place = -math.floor(math.log10(half) + 1e-9)
    return min(MOST_DECIMALS, max(fewest, place + 1)), min(MOST_DECIMALS, max(fewest, place))


def fixed(value: float, places: int, sign: bool = False) -> str:
    """``value`` with ``places`` decimals, never ``-0.00``; with ``sign`` a plus is written too."""
    rounded = round(value, places) + 0.0
    return f"{rounded:{'+' if sign and rounded != 0 else ''},.{places}f}"


def estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    against: float | None = None,
    sign: bool = False,
) -> str:
    """``0.776 [0.75, 0.80]``; ``-`` without a value, and said so without an interval.

    ``against`` is the level that the interval is read against (chance, zero): the ends get one digit more where
    rounding would put them on the other side of it, or on it.
    """
    if value is None:
        return MISSING
    if low is None or high is None:
        return f"{fixed(value, decimals(value, value)[0], sign)} (no interval)"
    places, end_places = decimals(low, high, value)
    while against is not None and end_places < MOST_DECIMALS and _moved(low, high, against, end_places):
        end_places += 1
    places = max(places, end_places)
    return f"{fixed(value, places, sign)} [{fixed(low, end_places, sign)}, {fixed(high, end_places, sign)}]"


def _moved(low: float, high: float, against: float, places: int) -> bool:
    """Whether rounding to ``places`` changes on which side of ``against`` an end of the interval lies."""
    return any(
        (end > against) != (round(end, places) > against) or (end < against) != (round(end, places) < against)
        for end in (low, high)
    )


def chance_level(chance: float | None, low: float | None, high: float | None) -> str:
    """What no leakage reads, with its band if there is one."""
    if chance is None or low is None or high is None:
        return MISSING if chance is None else fixed(chance, 2 if round(chance, 2) == chance else 3)
    return estimate(chance, low, high)


def percent(share: float, width: float | None = None) -> str:
    """``12%``, or with a decimal where the share is small or ``width`` (of its interval) is below two points."""
    places = 1 if share < 0.1 or (width is not None and width < 0.02) else 0
    return f"{fixed(100 * share, places)}%"


def level(value: float) -> str:
    """``95%``."""
    return f"{100 * value:.4g}%"


def levels(values: Iterable[float]) -> str:
    """The level of several intervals: ``95%``, or ``95% and 99%`` where they differ."""
    return " and ".join(level(value) for value in sorted(set(values)))


def epsilon(value: float | None, towards: Literal["up", "down"] = "up") -> str:
    """Epsilon with three digits; None is ``infinite``. A claim is rounded up, a measured lower bound down."""
    if value is None or math.isinf(value):
        return "infinite"
    if value == 0:
        return "0"
    scale = 10.0 ** (2 - math.floor(math.log10(abs(value))))
    rounded = math.ceil(value * scale - 1e-9) if towards == "up" else math.floor(value * scale + 1e-9)
    return f"{rounded / scale:.6g}"


def scientific(number: float) -> str:
    """``1e-5``, ``0.001``: a small number without padding zeros in its exponent."""
    return re.sub(r"e([+-])0+", lambda match: "e" + match[1].replace("+", ""), f"{number:g}")


def duration(seconds: float) -> str:
    """``0.42 s``, ``38.1 s``, ``2 min 05 s``, ``3 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def times(ratio: float) -> str:
    """A ratio with three digits at most: ``312``, ``4.1``."""
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.2g}"


def sentence(text: str) -> str:
    """``text`` with a full stop, unless it ends in one, or is empty."""
    return text if not text or text[-1] in ".!?" else f"{text}."


def listed(words: Iterable[str], most: int = 6) -> str:
    """``a, b and c``; after ``most`` words the rest is counted."""
    names = list(words)
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "none"
