"""Targets that do not all allow the same statistics: a failed row with its cause, never a crash or a silent choice."""

from __future__ import annotations

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Truth
from fedprivacy.attacks.membership.assemble import Scored
from fedprivacy.judge.target import Label
from fedprivacy.study.membership.judged import Judged, judged_findings

LABEL = Label("planted probes", "server (active)", "", 0.95, True)


def target(name: str, statistics: tuple[str, ...], headline: str) -> Judged:
    draw = seeds.numpy_generator(0, "test", name)
    scores = {statistic: draw.normal(size=60) for statistic in statistics}
    return Judged(name, Scored(scores, headline, 0), np.full(60, np.nan), Truth(draw.random(60) < 0.5))


def test_a_statistic_that_one_target_lacks_fails_whichever_comes_first() -> None:
    whole, bare = ("correct", "ratio"), ("correct",)
    for order in ((whole, whole, bare), (bare, whole, whole)):
        judged = [
            target(f"client-{k}", given, "ratio" if given == whole else "correct") for k, given in enumerate(order)
        ]
        findings = judged_findings([judged], [0], LABEL)
        failed = [f for f in findings if f.statistic == "ratio"]
        assert [f.flag for f in failed] == ["error"]
        assert failed[0].headline
        assert "1 of 3 targets" in failed[0].note
        assert any(f.statistic == "correct" and f.value is not None and not f.headline for f in findings)
