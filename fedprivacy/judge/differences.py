"""Several federations on the same data and seeds, each held against the first: accuracy and bytes, paired over seeds.

All intervals of one question hold together at the stated level (Bonferroni). What they leak is held against each other
in ``comparison``, seat by seat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedprivacy.judge.comparison import differing
from fedprivacy.judge.result import OWN_ACCURACY, Kind, RunResult, Verdict, main_metric
from fedprivacy.metrics.intervals import Interval, corrected_level, paired_interval

SOURCE = "this comparison"
CLEAR = 0.05
"""Share of the bytes below which two runs are told to send as many. Above it one seed decides: bytes are counted."""
Named = tuple[str, RunResult]


def trained(runs: Sequence[Named]) -> list[Named]:
    """Each federation once, under the name of the first of those that attack it."""
    found: dict[str, Named] = {}
    for name, result in runs:
        found.setdefault(str(_but_attack(result.config)), (name, result))
    return list(found.values())


def utility(runs: Sequence[Named], level: float = 0.95) -> list[Verdict]:
    """Whether each run trains better models than the first, in the accuracy that counts for both."""
    return [_better(one, first, at) for one, first, at in _pairs(runs, level)]


def traffic(runs: Sequence[Named], level: float = 0.95) -> list[Verdict]:
    """Whether each run sends fewer bytes, up and down, than the first."""
    return [_fewer(one, first, at) for one, first, at in _pairs(runs, level)]


def _pairs(runs: Sequence[Named], level: float) -> Iterator[tuple[Named, Named, float]]:
    first, *others = trained(runs)
    for one in others:
        yield one, first, corrected_level(level, len(others))


def _better(one: Named, first: Named, level: float) -> Verdict:
    (name, result), (rival, other) = one, first
    claim = f"{name} trains better models than {rival}"
    metric = main_metric(result.utility, other.utility)
    if metric not in result.utility or metric not in other.utility:
        return Verdict(claim, SOURCE, "inconclusive", "their models were not tested in the same way.")
    own, theirs = result.utility[metric], other.utility[metric]
    what = "accuracy on each client's own classes" if metric == OWN_ACCURACY else "test accuracy"
    words = f"{what} {100 * own.mean:.1f}% against {100 * theirs.mean:.1f}%"
    gap = _gap(own.per_seed, theirs.per_seed, level)
    return Verdict(claim, SOURCE, *_judged(one, first, gap, words, 100, " points", 1))


def _fewer(one: Named, first: Named, level: float) -> Verdict:
    (name, result), (rival, other) = one, first
    claim = f"{name} sends fewer bytes than {rival}"
    wire, theirs = result.communication, other.communication
    sent, rivals = wire.up_bytes + wire.down_bytes, theirs.up_bytes + theirs.down_bytes
    scale, unit = (1e-6, "MB") if min(sent, rivals) >= 1e5 else (1e-3, "kB")
    words = f"{_three(scale * sent)} {unit} against {_three(scale * rivals)} {unit}"
    gap = _gap(theirs.per_seed, wire.per_seed, level)
    if abs(sent - rivals) <= CLEAR * max(sent, rivals):
        return Verdict(claim, SOURCE, "inconclusive", f"{words}: as many, to within {100 * CLEAR:g}%.")
    if gap is None and not differing(result.config, other.config):
        return Verdict(claim, SOURCE, "supported" if sent < rivals else "refuted", f"{words}, counted in one seed.")
    return Verdict(claim, SOURCE, *_judged(one, first, gap, words, scale, f" {unit}", 3))


def _judged(
    one: Named, first: Named, gap: Interval | None, words: str, scale: float, unit: str, digits: int
) -> tuple[Kind, str]:
    """The verdict on a difference that is good where it is above 0."""
    differ = differing(one[1].config, first[1].config)
    if differ:
        return "inconclusive", f"{words}; the runs differ in {', '.join(differ)}."
    if gap is None:
        return "inconclusive", f"{words}; one seed decides nothing, use --seeds 5."
    low, value, high = (f"{scale * end:+.{digits}f}" for end in (gap.low, gap.value, gap.high))
    words += f", paired difference {value} [{low}, {high}]{unit} over {one[1].provenance.seeds} seeds."
    return "supported" if gap.low > 0 else "refuted" if gap.high < 0 else "inconclusive", words


def _three(number: float) -> str:
    """Three digits, and all before the point."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"


def _gap(own: Sequence[float], theirs: Sequence[float], level: float) -> Interval | None:
    return paired_interval(own, theirs, level) if len(own) == len(theirs) > 1 else None


def _but_attack(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "attack"}
