"""What privacy costs and what it buys: accuracy and leakage against epsilon, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.privacy.claim import TRANSCRIPT
from fedprivacy.reporting.figures.style import BAND, colour, dash, drawing, marker, say, shortened, to_png
from fedprivacy.reporting.findings import groups, headline_statistics, main_target, metric_key, metric_name
from fedprivacy.reporting.text import clean, epsilon, scientific

INFINITE_GAP = 3.0
"""How many times the largest finite epsilon stands for infinite on the axis."""

COVERED = ("record", "add-remove", TRANSCRIPT)
"""What a claim must be about to bound the attack of anybody on one record that is in or out."""

BESIDE = 1.04
"""Factor by which the points of two adversaries stand apart, so that their intervals do not cover each other."""

LEGEND_CHARACTERS = 85
"""Of both columns of a legend together, beyond which it would be wider than the figure."""


def frontier(results: Sequence[RunResult], metric: str = "auc") -> Figure:
    """The first utility metric (above) and the headline leakage of each adversary (below) against epsilon,.

    Runs without noise stand at the right end, marked as infinite and joined to nothing, since no distance leads there;
    a dotted line carries their level across. A run with no headline finding of an adversary has no point there.
    """
    with drawing(7.4, 6.6) as figure:
        if not results:
            say(figure.add_subplot(), "No runs to draw.")
            return figure
        ordered = sorted(results, key=_key)
        places, ticks = _places(ordered)
        above, below = figure.subplots(2, 1, sharex=True)
        _utility(above, ordered, places)
        _leakage(below, ordered, places, metric)
        below.set_xscale("log")
        below.set_xticks(list(ticks), list(ticks.values()))
        below.set_xticks([], minor=True)
        below.set_xlim(min(ticks) / 1.4, max(ticks) * 1.4)
        lowest = below if below.axison else above
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel(_about(ordered))
        labels = below.get_legend_handles_labels()[1]
        if labels:
            half = (len(labels) + 1) // 2
            widest = max(map(len, labels[:half])) + max(map(len, labels[half:]), default=0)
            columns = 2 if widest <= LEGEND_CHARACTERS else 1
            figure.legend(loc="outside lower center", frameon=False, fontsize=9, ncols=columns)
        return figure


def frontier_figure(results: Sequence[RunResult], metric: str = "auc") -> bytes:
    """The same as PNG."""
    return to_png(frontier(results, metric))


def allowed_auc(epsilon: float, delta: float) -> float:
    """The largest AUC that (``epsilon``, ``delta``)-DP leaves to an attack on one unit.

    ``1 - (1 - delta)^2 / (1 + e^epsilon)``: the area under the trade-off curve of Kairouz, Oh, Viswanath (2015).
    """
    return 1 - (1 - delta) ** 2 / (1 + math.exp(min(epsilon, 700.0)))


def headline_findings(result: RunResult, metric: str) -> dict[str, Finding]:
    """The headline finding of ``metric`` about all clients, by adversary and observation."""
    found: dict[str, Finding] = {}
    for group in groups(f for f in result.findings if metric_key(f.metric) == metric_key(metric)):
        declared, target = headline_statistics(group.findings), main_target(group.findings)
        for finding in group.findings:
            if finding.statistic in declared and finding.target == target:
                found.setdefault(f"{clean(group.adversary)}, {clean(group.observation)}", finding)
    return found


def _key(result: RunResult) -> float:
    return float("inf") if result.privacy.epsilon is None else result.privacy.epsilon


def _places(results: Sequence[RunResult]) -> tuple[list[float], dict[float, str]]:
    finite = [r.privacy.epsilon for r in results if r.privacy.epsilon]
    smallest, largest = min(finite, default=1.0), max(finite, default=1.0)
    places, ticks = [], {}
    for result in results:
        value = result.privacy.epsilon
        place = largest * INFINITE_GAP if value is None else value if value > 0 else smallest / INFINITE_GAP
        places.append(place)
        ticks[place] = epsilon(value)
    return places, ticks


def _about(results: Sequence[RunResult]) -> str:
    claims = [r.privacy for r in results if r.privacy.epsilon is not None]
    if not claims:
        return "epsilon of the claim"
    deltas = "/".join(dict.fromkeys(scientific(claim.delta) for claim in claims))
    units = "/".join(dict.fromkeys(clean(claim.unit) or "unit not stated" for claim in claims))
    seeded = "\nseeded noise: measurement only, no guarantee" if any(claim.seeded for claim in claims) else ""
    return f"epsilon of the claim at delta {deltas}, unit: {units} (smaller is more private){seeded}"


@dataclass(frozen=True)
class _Point:
    place: float
    value: float
    low: float
    high: float
    finite: bool


def _draw(axes: Axes, points: Sequence[_Point], number: int, label: str, shift: float = 1.0) -> None:
    """Points with intervals, joined while epsilon is finite; the level without noise as a dotted line."""
    for finite in (True, False):
        chosen = [point for point in points if point.finite is finite]
        if not chosen:
            continue
        ends = [[max(0.0, p.value - p.low) for p in chosen], [max(0.0, p.high - p.value) for p in chosen]]
        axes.errorbar(
            [p.place * shift for p in chosen],
            [p.value for p in chosen],
            yerr=ends,
            color=colour(number),
            marker=marker(number),
            ls=dash(number) if finite else "none",
            capsize=3,
            label=label if label and (finite or not any(point.finite for point in points)) else None,
        )
        if not finite:
            axes.axhline(chosen[0].value, color=colour(number), lw=0.8, ls=":", zorder=0)


def _utility(axes: Axes, results: Sequence[RunResult], places: Sequence[float]) -> None:
    metric = next((name for result in results for name in result.utility), None)
    if metric is None:
        say(axes, "No utility was measured.")
        return
    points = [
        _Point(p, r.utility[metric].mean, r.utility[metric].low, r.utility[metric].high, r.privacy.epsilon is not None)
        for p, r in zip(places, results, strict=True)
        if metric in r.utility
    ]
    _draw(axes, points, 0, "")
    axes.set_ylabel(metric_name(metric))
    axes.set_title("Utility (mean with interval; dotted: without noise)", loc="left")


def _leakage(axes: Axes, results: Sequence[RunResult], places: Sequence[float], metric: str) -> None:
    found = [headline_findings(result, metric) for result in results]
    names = list(dict.fromkeys(name for one in found for name in one))
    if not names:
        say(axes, f"No headline {metric_name(metric)} was measured.")
        return
    _no_leakage(axes, found, places)
    if metric_key(metric) == "auc":
        _allowed(axes, results, places)
    for number, name in enumerate(names, start=1):
        points = [
            _Point(place, value, _or(finding.low, value), _or(finding.high, value), result.privacy.epsilon is not None)
            for place, one, result in zip(places, found, results, strict=True)
            if (finding := one.get(name)) is not None and (value := finding.value) is not None
        ]
        middle = (len(names) + 1) / 2
        _draw(axes, points, number, shortened(name, 60), BESIDE ** (number - middle))
    axes.set_ylabel(metric_name(metric))
    axes.set_title("Leakage (headline statistic with interval)", loc="left")


def _or(end: float | None, value: float) -> float:
    return value if end is None else end


def _no_leakage(axes: Axes, found: Sequence[Mapping[str, Finding]], places: Sequence[float]) -> None:
    """The level of no leakage, and around it the widest band of what is read there by chance."""
    chances = [(p, f) for p, one in zip(places, found, strict=True) for f in one.values() if f.chance is not None]
    bands: dict[float, tuple[float, float]] = {}
    for place, finding in chances:
        if finding.chance_low is not None and finding.chance_high is not None:
            low, high = bands.get(place, (finding.chance_low, finding.chance_high))
            bands[place] = min(low, finding.chance_low), max(high, finding.chance_high)
    if bands:
        x = sorted(bands)
        wide = [x[0] / 2, *x, x[-1] * 2]
        lows, highs = [bands[p][0] for p in x], [bands[p][1] for p in x]
        lows, highs = [lows[0], *lows, lows[-1]], [highs[0], *highs, highs[-1]]
        axes.fill_between(wide, lows, highs, color=BAND, alpha=0.45, lw=0, zorder=0)
    if chances:
        axes.axhline(chances[0][1].chance or 0.0, color="#444444", lw=1, label="no leakage (grey: its band)")


def _allowed(axes: Axes, results: Sequence[RunResult], places: Sequence[float]) -> None:
    """The AUC that each claim about records leaves possible to whoever sees the transcript."""
    points = [
        (place, allowed_auc(claim.epsilon, claim.delta))
        for place, claim in ((p, r.privacy) for p, r in zip(places, results, strict=True))
        if claim.epsilon is not None and (claim.unit, claim.relation, claim.adversary) == COVERED
    ]
    if points:
        x, y = [place for place, _ in points], [value for _, value in points]
        axes.plot(x, y, color="#777777", lw=1, ls=(0, (6, 3)), marker="_", label="most that the claim allows")
