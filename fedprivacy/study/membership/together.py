"""Declared findings over several runs that differ by their seed alone, as if one run had made them.

A page attacks each seed in a run of its own, so that it can be stopped. Where a seed alone lacks the non-members that a
low false positive rate needs, all of them may have enough (:mod:`fedprivacy.judge.rates`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedprivacy import folder
from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import Adversary, Truth
from fedprivacy.judge.comparison import ALL
from fedprivacy.judge.rates import measured
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.membership.findings import judges_bank
from fedprivacy.study.membership.stored import scores_path, targets_of
from fedprivacy.study.resolved import Study

Run = tuple[Study, Path, RunResult]
"""An attacked run of one seed, its folder, and what it found. Where a whole bank is judged, nothing is given: scores of
the target alone are kept."""


def together(runs: Sequence[Run]) -> Mapping[str, Mapping[str, Finding]]:
    """By adversary and metric; an adversary without one declared statistic and a number in each run is left out."""
    found: dict[str, Mapping[str, Finding]] = {}
    study = runs[0][0]
    if judges_bank(study.attack):
        return found
    for adversary, name in study.seats.observations:
        heads = [_declared(result, str(adversary), study.observation(name).name) for _, _, result in runs]
        first = heads[0]
        if first is None or any(one is None or one.statistic != first.statistic for one in heads):
            continue
        repetitions = [_targets(one, place, adversary, name, first.statistic) for one, place, _ in runs]
        if all(repetitions):
            label = Label(first.observation, str(adversary), first.statistic, first.level, True, first.note)
            roots = [one.roots[0] for one, _, _ in runs]
            found[str(adversary)] = {f.metric: f for f in measured(repetitions, first.target, label, roots)}
    return found


def _declared(result: RunResult, adversary: str, title: str) -> Finding | None:
    """The declared AUC of one adversary from one observation; None where it gave no number."""
    own = (f for f in result.findings if f.headline and (f.adversary, f.observation) == (adversary, title))
    return next((f for f in own if f.metric == "AUC" and f.target == ALL and f.value is not None), None)


def _targets(study: Study, where: Path, adversary: Adversary, name: str, statistic: str) -> list[Target]:
    """What was scored in one run; nothing where the attack failed."""
    path = scores_path(where, adversary, name)
    if not path.exists():
        return []
    arrays, told = folder.read_arrays(path)
    played = study.game(study.roots[0])
    stored = targets_of(arrays, statistic, played, adversary, followed(adversary, study.wire, study.attack.followed))
    return [
        Target(one.name, one.scores, Truth(one.coins, played.candidates[one.places]), bool(told["odds"]))
        for one in stored or ()
    ]
