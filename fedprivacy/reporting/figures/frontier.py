"""What privacy costs and what it buys: accuracy and leakage against epsilon, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from fedprivacy.reporting.figures.style import BAND, colour, dash, drawing, marker, say, shortened, to_png
from fedprivacy.reporting.findings import groups, headline_statistics, main_target, metric_key, metric_name
from fedprivacy.reporting.text import clean, epsilon
from fedprivacy.result import Finding, RunResult

INFINITE_GAP = 3.0
"""How many times the largest finite epsilon stands for infinite on the axis."""


def frontier_figure(results: Sequence[RunResult], metric: str = "auc") -> bytes:
    """The first utility metric (above) and the headline leakage of each adversary (below) against epsilon, as PNG.

    Runs without noise stand at the right end, marked as infinite. A run with no headline finding of an adversary has
    no point there.
    """
    with drawing(7.0, 6.0) as figure:
        if not results:
            say(figure.add_subplot(), "No runs to draw.")
            return to_png(figure)
        ordered = sorted(results, key=_key)
        places, ticks = _places(ordered)
        above, below = figure.subplots(2, 1, sharex=True)
        _utility(above, ordered, places)
        _leakage(below, ordered, places, metric)
        below.set_xscale("log")
        below.set_xticks(list(ticks), list(ticks.values()))
        below.set_xticks([], minor=True)
        below.set_xlim(min(ticks) / 1.3, max(ticks) * 1.3)
        below.set_xlabel("epsilon of the claim (smaller is more private)")
        return to_png(figure)


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


def _utility(axes: Axes, results: Sequence[RunResult], places: Sequence[float]) -> None:
    metric = next((name for result in results for name in result.utility), None)
    if metric is None:
        say(axes, "No utility was measured.")
        return
    points = [(p, r.utility[metric]) for p, r in zip(places, results, strict=True) if metric in r.utility]
    x, y = [p for p, _ in points], [u.mean for _, u in points]
    ends = [[max(0.0, u.mean - u.low) for _, u in points], [max(0.0, u.high - u.mean) for _, u in points]]
    axes.errorbar(x, y, yerr=ends, color=colour(0), marker=marker(0), ls=dash(0), capsize=3)
    axes.set_ylabel(metric_name(metric))
    axes.set_title("Utility (mean with interval)", loc="left")


def _leakage(axes: Axes, results: Sequence[RunResult], places: Sequence[float], metric: str) -> None:
    found = [headline_findings(result, metric) for result in results]
    names = list(dict.fromkeys(name for one in found for name in one))
    if not names:
        say(axes, f"No headline {metric_name(metric)} was measured.")
        return
    banded = [(p, f) for p, one in zip(places, found, strict=True) for f in one.values() if f.chance is not None]
    bands = sorted({(p, f.chance_low, f.chance_high) for p, f in banded if f.chance_low is not None}, key=str)
    for place, low, high in bands:
        ends = [low or 0.0, high or 0.0]
        axes.plot([place] * 2, ends, color=BAND, lw=14, alpha=0.55, solid_capstyle="butt", zorder=0)
    if banded:
        axes.axhline(banded[0][1].chance or 0.0, color="#444444", lw=1, label="no leakage (grey: its band)")
    for number, name in enumerate(names, start=1):
        points = [(p, one[name]) for p, one in zip(places, found, strict=True) if name in one]
        drawn = [(p, f.value, f.low, f.high) for p, f in points if f.value is not None]
        x, y = [p for p, *_ in drawn], [value for _, value, _, _ in drawn]
        low_ends = [0.0 if low is None else max(0.0, value - low) for _, value, low, _ in drawn]
        high_ends = [0.0 if high is None else max(0.0, high - value) for _, value, _, high in drawn]
        axes.errorbar(
            x,
            y,
            yerr=[low_ends, high_ends],
            color=colour(number),
            marker=marker(number),
            ls=dash(number),
            capsize=3,
            label=shortened(name, 60),
        )
    axes.set_ylabel(metric_name(metric))
    axes.set_title("Leakage (headline statistic with interval)", loc="left")
    axes.legend(fontsize=8.5, frameon=True, framealpha=0.9)
