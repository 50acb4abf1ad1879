"""AUC of every adversary and statistic as a dot with its interval, over the band of no leakage."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.figures.style import BAND, colour, drawing, marker, say, shortened, to_png
from fedprivacy.reporting.findings import groups, headline_statistics, is_client, main_target, metric_key, metric_name
from fedprivacy.reporting.text import clean, levels

MOST_ROWS = 60


def leakage(result: RunResult, metric: str = "auc") -> Figure:
    """Findings of ``metric`` about all clients (or, without such, about each client).

    A filled dot is the headline statistic, declared before the run; hollow dots are the others. Failed findings and
    those below resolution are listed without a dot.
    """
    rows = _rows(result, metric)
    places = list(dict.fromkeys((f.adversary, f.observation) for f in rows))
    with drawing(7.2, 1.3 + 0.3 * max(len(rows) + len(places), 3)) as figure:
        axes = figure.add_subplot()
        if not rows:
            say(axes, f"No {metric_name(metric)} was measured.")
            return figure
        names: dict[int, str] = {}
        height = 0
        for series, place in enumerate(places):
            words = shortened(f"{clean(place[0])}, observing {clean(place[1])}", 90)
            axes.text(0.01, height, words, va="center", fontsize=9, transform=axes.get_yaxis_transform())
            for finding in (f for f in rows if (f.adversary, f.observation) == place):
                height += 1
                _draw(axes, height, finding, series)
                names[height] = _name(finding)
            height += 1
        axes.set_yticks(list(names), list(names.values()))
        axes.set_ylim(height - 0.4, -0.6)
        axes.set_xlabel(f"{metric_name(metric)} with {levels(f.level for f in rows)} interval; grey: no leakage")
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -0.02), min(high, 1.02))
        axes.set_title("Leakage by adversary and statistic (* headline, declared before)", loc="left")
        return figure


def leakage_figure(result: RunResult, metric: str = "auc") -> bytes:
    """The same as PNG."""
    return to_png(leakage(result, metric))


def _name(finding: Finding) -> str:
    target = f" ({clean(finding.target)})" if is_client(finding.target) else ""
    return shortened(f"{clean(finding.statistic)}{' *' if finding.headline else ''}{target}", 30)


def _rows(result: RunResult, metric: str) -> list[Finding]:
    rows: list[Finding] = []
    for group in groups(f for f in result.findings if metric_key(f.metric) == metric_key(metric)):
        declared = headline_statistics(group.findings)
        target = main_target(group.findings)
        chosen = [f for f in group.findings if f.target == target or target is None]
        rows += sorted(chosen, key=lambda f: f.statistic not in declared)
    return rows[:MOST_ROWS]


def _draw(axes: Axes, place: int, finding: Finding, series: int) -> None:
    if finding.chance_low is not None and finding.chance_high is not None:
        axes.fill_betweenx(
            [place - 0.5, place + 0.5], finding.chance_low, finding.chance_high, color=BAND, alpha=0.55, lw=0
        )
    if finding.chance is not None:
        axes.plot([finding.chance] * 2, [place - 0.5, place + 0.5], color="#444444", lw=1)
    if finding.value is None:
        words = "failed" if finding.flag == "error" else "below resolution"
        axes.text(
            finding.chance if finding.chance is not None else 0.5,
            place,
            f" {words}",
            va="center",
            fontsize=8.5,
        )
        return
    shade = colour(series)
    if finding.low is not None and finding.high is not None:
        axes.plot([finding.low, finding.high], [place, place], color=shade, lw=1.8, solid_capstyle="butt")
    fill = shade if finding.headline else "white"
    axes.plot([finding.value], [place], marker(series), color=shade, markerfacecolor=fill, ms=6.5, mew=1.4)
