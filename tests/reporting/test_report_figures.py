"""Figures: PNG of a sensible size, the same bytes twice, and robust to what results may hold."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.figures import (
    ClaimRow,
    RocSeries,
    claim_figure,
    frontier_figure,
    leakage_figure,
    roc_figure,
)
from fedprivacy.reporting.figures.claim import verdict
from fedprivacy.reporting.figures.frontier import allowed_auc, headline_findings
from fedprivacy.reporting.figures.style import colour, dash, marker, shortened

Results = Mapping[str, Callable[[], RunResult]]


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert min(image.size) >= 300
    assert max(image.size) <= 4000
    return np.asarray(image.convert("RGB"))


def has(png: bytes, colour_code: str) -> bool:
    wanted = np.array([int(colour_code[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((pixels(png) == wanted).all(axis=2).any())


def scores(shift: float, seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(shift, 1, n), draw.normal(0, 1, n)


def test_a_roc_figure_shows_every_curve_and_is_the_same_twice() -> None:
    curves = [RocSeries(f"attack {k}", *scores(k / 2, k)) for k in range(2)]
    png = roc_figure(curves)
    assert png == roc_figure(curves)
    assert has(png, colour(0))
    assert has(png, colour(1))
    assert not has(roc_figure(curves[:1]), colour(1))


@pytest.mark.parametrize(
    ("members", "others"),
    [([1.0], [0.0]), ([0.0] * 5, [0.0] * 7), ([np.inf, 1.0], [-np.inf, 0.0]), ([1, 2, 3], [4, 5, 6])],
)
def test_small_tied_and_infinite_scores_can_be_drawn(members: list[float], others: list[float]) -> None:
    pixels(roc_figure([RocSeries("学習 $x$ _y_", members, others)], level=0.99, title="a $ title"))


def test_scores_with_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        roc_figure([RocSeries("broken", [float("nan")], [0.0])])


def test_figures_without_content_say_so() -> None:
    for png in (roc_figure([]), claim_figure([]), frontier_figure([])):
        assert pixels(png).min() < 128


def test_a_leakage_figure_can_be_drawn_of_any_result(any_result: RunResult) -> None:
    png = leakage_figure(any_result)
    assert png == leakage_figure(any_result)
    pixels(png)


def test_dots_of_two_adversaries_have_two_colours(results: Results) -> None:
    result = results["ordinary"]()
    assert has(leakage_figure(result), colour(1))
    alone = replace(result, findings=tuple(f for f in result.findings if f.adversary == "server (active)"))
    assert not has(leakage_figure(alone), colour(1))


def test_the_users_own_settings_and_global_state_do_not_matter(results: Results) -> None:
    before = leakage_figure(results["ordinary"]())
    with matplotlib.rc_context({"font.size": 20.0, "savefig.dpi": 40, "axes.facecolor": "red"}):
        assert leakage_figure(results["ordinary"]()) == before
        assert matplotlib.rcParams["font.size"] == 20.0


def test_a_frontier_holds_finite_zero_and_infinite_epsilon(results: Results, make: SimpleNamespace) -> None:
    base = results["ordinary"]()
    runs = [replace(base, privacy=replace(base.privacy, epsilon=e)) for e in (None, 8.0, 0.5, 0.0)]
    png = frontier_figure(runs)
    assert png == frontier_figure(runs)
    assert has(png, colour(0))
    assert has(png, colour(1))
    bare = [replace(run, findings=(), utility={}) for run in runs]
    assert not has(frontier_figure(bare), colour(0))
    few = replace(base, findings=make.rates("ratio", 0.6, 0.2, 0.1, headline=True))
    pixels(frontier_figure([few], metric="tpr@0.1%fpr"))


def test_a_frontier_without_an_attack_still_tells_epsilon(results: Results) -> None:
    """The two differ in the labels of the axis alone."""
    base = replace(results["ordinary"](), findings=())
    low, high = ([replace(base, privacy=replace(base.privacy, epsilon=e)) for e in pair] for pair in ((1, 4), (2, 8)))
    assert (pixels(frontier_figure(low)) != pixels(frontier_figure(high))).any()


def test_a_legend_of_long_names_stays_within_the_frontier(results: Results) -> None:
    base = results["ordinary"]()
    seen = ("distilled surrogate", "joint decoding of predictions")
    renamed = [tuple(replace(one, observation=name) for one in reversed(base.findings)) for name in seen]
    runs = [
        replace(base, privacy=replace(base.privacy, epsilon=epsilon), findings=found)
        for epsilon, found in zip((1.0, None), renamed, strict=True)
    ]
    lowest = pixels(frontier_figure(runs))[-150:]
    assert (lowest[:, :4] == lowest[0, 0]).all() and (lowest[:, -4:] == lowest[0, 0]).all()


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 0.0), (4.0, 1e-5), (0.5, 0.1)])
def test_the_auc_that_a_claim_allows_is_the_area_over_its_trade_off_curve(epsilon: float, delta: float) -> None:
    fpr = np.linspace(0, 1, 200_001)
    steep, flat = 1 - delta - np.exp(epsilon) * fpr, np.exp(-epsilon) * (1 - delta - fpr)
    fnr = np.maximum(0, np.maximum(steep, flat))
    assert allowed_auc(epsilon, delta) == pytest.approx(1 - np.trapezoid(fnr, fpr), abs=1e-5)


def test_the_frontier_uses_declared_headlines_about_all_clients(results: Results) -> None:
    found = headline_findings(results["ordinary"](), "auc")
    assert {name: finding.value for name, finding in found.items()} == {
        "server (active), planted probes": 0.7764,
        "server (honest-but-curious), surrogate": 0.5043,
    }


@pytest.mark.parametrize(
    ("claim", "bound", "ceiling", "word"),
    [
        (1.0, 1.62, 3.47, "refuted"),
        (3.0, 1.62, 3.47, "not refuted"),
        (8.0, 1.62, 3.47, "inconclusive"),
        (3.47, 0.0, 3.47, "inconclusive"),
        (8.0, None, None, "not audited"),
        (None, 3.1, 5.78, "no claim to refute"),
    ],
)
def test_verdicts_of_claims(claim: float | None, bound: float | None, ceiling: float | None, word: str) -> None:
    row = ClaimRow("a mechanism with a long name, server (active)", claim, bound, ceiling)
    assert verdict(row) == word
    assert claim_figure([row]) == claim_figure([row])


def test_series_stay_apart_beyond_the_number_of_colours() -> None:
    looks = {(colour(k), marker(k), str(dash(k))) for k in range(21)}
    assert len(looks) == 21


def test_long_labels_are_cut_in_the_middle() -> None:
    assert shortened("a" * 30 + "z" * 30, 21) == "a" * 9 + "..." + "z" * 9
    assert shortened("short") == "short"
