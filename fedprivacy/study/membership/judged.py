"""Scored targets to findings: every statistic, the selected best, the most vulnerable tenth, and null rows last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy import folder
from fedprivacy.adversary.threat import Adversary, Float, Int, Truth
from fedprivacy.attacks.membership.assemble import Scored
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target
from fedprivacy.judge.vulnerable import most_vulnerable_tenth
from fedprivacy.wire.parties import client_name


@dataclass(frozen=True, eq=False)
class Judged:
    """One target client of one federation: its scores by statistic, the margins behind them, and the truth."""

    name: str
    scored: Scored
    margins: Float
    truth: Truth


def judged_findings(judged: Sequence[Sequence[Judged]], groups: Sequence[int], label: Label) -> list[Finding]:
    """Findings of all statistics on all targets.

    ``judged`` holds the targets of each federation, ``groups`` says which federations share a seed. ``label.headline``
    says whether this observation carries the adversary's headline. A statistic that some targets did not allow, as
    where noise left one client's answers with nothing but a class, is a failed row: leaving those targets out would
    choose among them.
    """
    scored = [target.scored for targets in judged for target in targets]
    offered = dict.fromkeys(name for one in scored for name in one.scores)
    declared = Counter(one.headline for one in scored).most_common(1)[0][0]
    findings: list[Finding] = []
    measured: dict[str, list[list[Target]]] = {}
    for statistic in offered:
        own = replace(label, statistic=statistic, headline=label.headline and statistic == declared)
        without = sum(statistic not in one.scores for one in scored)
        lacking = f"{without} of {len(scored)} targets did not give what it reads"
        failures = (one.scores.get(statistic, lacking) for one in scored)
        cause = next((words for words in failures if isinstance(words, str)), None)
        if cause is not None:
            findings.append(examiner.failed(own, cause))
            continue
        targets = [_with_scores(one, statistic) for one in judged]
        found = examiner.membership(targets, own, groups)
        findings += found
        twice = statistic != declared and any(_same_order(targets, other) for other in measured.values())
        if found[0].flag != "error" and not twice:
            measured[statistic] = targets
    findings += examiner.best_of(measured, label, groups)
    if declared in measured and len(judged) > len(set(groups)):
        margins = [[target.margins for target in targets] for targets in judged]
        own = replace(label, statistic=declared, headline=False)
        findings += most_vulnerable_tenth(measured[declared], margins, own, groups)
    return sorted(findings, key=lambda finding: finding.statistic == examiner.NULL)


def _same_order(one: Sequence[Sequence[Target]], other: Sequence[Sequence[Target]]) -> bool:
    """Whether two statistics order the candidates of every target alike, so that they are one choice and not two."""
    pairs = (
        (a.scores, b.scores) for mine, theirs in zip(one, other, strict=True) for a, b in zip(mine, theirs, strict=True)
    )
    return all(np.array_equal(_ranks_of(a), _ranks_of(b)) for a, b in pairs)


def _ranks_of(scores: Float) -> Int:
    """Each score's place among the distinct ones [n]; those that were not given (NaN) share the last."""
    places: Int = np.unique(scores, return_inverse=True)[1]
    return places


def _with_scores(targets: Sequence[Judged], statistic: str) -> list[Target]:
    return [
        Target(t.name, np.asarray(t.scored.scores[statistic]), t.truth, statistic in t.scored.odds) for t in targets
    ]


def save_scores(path: Path, targets: Sequence[Judged], title: str = "") -> None:
    """Scores and coins of one federation, for figures; ``title`` names the curve where the file name does not."""
    arrays: dict[str, NDArray[Any]] = {}
    for target in targets:
        arrays[f"{target.name}/coins"] = target.truth.coins
        for name, scores in target.scored.scores.items():
            if not isinstance(scores, str):
                arrays[f"{target.name}/{name}"] = scores
    if targets:
        scored = targets[0].scored
        folder.write_arrays(
            path, arrays, {"headline": scored.headline, "title": title, "odds": scored.headline in scored.odds}
        )


def candidates_of(target: str, owners: Int, adversary: Adversary, attacked: Sequence[int]) -> Int:
    """Positions of the candidates that a target's stored scores are about; ``owners`` [n] of all candidates, of which
    those of the clients ``attacked`` are judged."""
    if target in ("any client", "any other client"):
        asked = np.isin(owners, attacked)
        return np.flatnonzero(asked if target == "any client" else asked & (owners != adversary.client))
    names = [client_name(client) for client in range(int(owners.max()) + 1)]
    return np.flatnonzero(owners == names.index(target))
