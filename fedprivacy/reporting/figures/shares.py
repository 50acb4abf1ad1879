"""Leakage over the share of the pool that the adversary knows: a line a protection, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedprivacy.metrics.intervals import Interval
from fedprivacy.reporting.figures.style import colour, dash, drawing, marker, say, to_png


@dataclass(frozen=True, eq=False)
class Curve:
    """One line: share -> interval over seeds, by metric."""

    label: str
    values: Mapping[str, Mapping[float, Interval]]


def shares_figure(curves: Sequence[Curve], metrics: Mapping[str, float], title: str) -> bytes:
    """One panel a metric (name -> chance level) as PNG; no band where an interval has no width."""
    with drawing(9.6, 4.8) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, (metric, chance) in zip(panels, metrics.items(), strict=True):
            drawn = False
            axes.axhline(chance, color="#444444", lw=1)
            for number, curve in enumerate(curves):
                points = sorted(curve.values.get(metric, {}).items())
                if not points:
                    continue
                drawn = True
                x, y = [share for share, _ in points], [one.value for _, one in points]
                axes.fill_between(
                    x, [one.low for _, one in points], [one.high for _, one in points], color=colour(number), alpha=0.15
                )
                axes.plot(x, y, color=colour(number), marker=marker(number), linestyle=dash(number), label=curve.label)
            if not drawn:
                say(axes, f"{metric}: below resolution")
                continue
            axes.set_xlabel("share of the pool that the server knows")
            axes.set_ylabel(metric)
            axes.set_xlim(0, 1.03)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        handles, labels = max((axes.get_legend_handles_labels() for axes in panels), key=lambda found: len(found[1]))
        if labels:
            figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=9, ncols=3)
        return to_png(figure)
