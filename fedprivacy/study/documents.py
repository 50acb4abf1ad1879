"""Figures and report.html of a run folder, from its stored result and scores; nothing is attacked again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fedprivacy import folder
from fedprivacy.adversary.threat import Adversary
from fedprivacy.judge.result import Audit, RunResult
from fedprivacy.metrics.pooling import pool, pool_by_rank
from fedprivacy.metrics.roc import auc
from fedprivacy.reporting.figures.claim import ClaimRow, claim
from fedprivacy.reporting.figures.drawn import Drawn, drawn
from fedprivacy.reporting.figures.leakage import leakage
from fedprivacy.reporting.figures.pictures import pictures
from fedprivacy.reporting.figures.roc import RocSeries, roc
from fedprivacy.reporting.figures.strip import strip
from fedprivacy.reporting.figures.style import to_png
from fedprivacy.reporting.figures.words import in_words, panel_in_words
from fedprivacy.reporting.findings import is_rate
from fedprivacy.reporting.html import to_html
from fedprivacy.reporting.pictures import panels


def drawings(result: RunResult, where: Path) -> dict[str, Callable[[], Figure]]:
    """What can be drawn, by name: the ROC of each adversary's headline (first seed), AUC by statistic, pictures."""
    found: dict[str, Callable[[], Figure]] = {}
    if result.audit is not None:
        found["claim"] = partial(claim, claim_rows(result.audit), result.audit.level)
    if not result.findings:
        return found
    curves = [_curve(path) for path in sorted((where / "scores").glob("*.safetensors"))]
    known = sorted((curve for curve in curves if curve is not None), key=_area, reverse=True)
    if known:
        found["roc"] = partial(roc, known, result.findings[0].level)
    if any(is_rate(finding.metric) for finding in result.findings):
        found["leakage"] = partial(leakage, result)
    for panel in panels(where):
        found[f"{PICTURES}-{panel.name}"] = partial(pictures, panel.rows, panel.title)
    return found


PICTURES = "inversion"
"""Before the name of an adversary: the figure of its pictures."""


def figures(result: RunResult, where: Path) -> dict[str, bytes]:
    """All of them as PNG, for whoever takes them elsewhere."""
    return {name: to_png(draw()) for name, draw in drawings(result, where).items()}


def drawn_for_page(result: RunResult, where: Path) -> dict[str, Drawn]:
    """All of them as drawings of a page, with their text alternatives; pictures are a strip."""
    strips = {f"{PICTURES}-{panel.name}": panel for panel in panels(where)}
    return {
        name: strip(panel.rows, name, panel.title, panel_in_words(panel))
        if (panel := strips.get(name)) is not None
        else drawn(draw(), name, in_words(name, result))
        for name, draw in drawings(result, where).items()
    }


def claim_rows(audit: Audit) -> list[ClaimRow]:
    """One bar a judged bound, and one for the control, which claims nothing."""
    rows = [ClaimRow(f"{r.adversary}, {r.statistic}", audit.epsilon, r.low, r.ceiling) for r in audit.rows if r.judged]
    off = [r for r in audit.rows if r.control]
    return rows + [ClaimRow(f"noise off: {r.adversary}, {r.statistic}", None, r.low, r.ceiling) for r in off]


def _area(curve: RocSeries) -> float:
    return auc(curve.members, curve.non_members)


def _curve(path: Path) -> RocSeries | None:
    arrays, header = folder.read_arrays(path)
    headline = header["headline"]
    scores: list[NDArray[Any]] = []
    coins: list[NDArray[Any]] = []
    for name in arrays:
        target, _, what = name.rpartition("/")
        if what == headline:
            known = ~np.isnan(arrays[name])
            scores.append(arrays[name][known])
            coins.append(arrays[f"{target}/coins"][known])
    if not scores:
        return None
    members, others = (pool if header.get("odds") else pool_by_rank)(scores, coins)
    who = header.get("title") or str(Adversary.parse(path.stem.partition("--")[0]))
    return RocSeries(f"{who}, {headline}", members, others)


def write_documents(result: RunResult, where: Path) -> Path:
    """Write ``figures/*.png`` and ``report.html`` and return the page's path."""
    for name, png in figures(result, where).items():
        folder.write_bytes(where / "figures" / f"{name}.png", png)
    page = where / "report.html"
    folder.write_text(page, to_html(result, drawn_for_page(result, where)))
    return page
