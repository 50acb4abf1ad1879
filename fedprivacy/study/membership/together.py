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
from fedprivacy.judge.rates import measured
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.membership.stored import scores_path, targets_of
from fedprivacy.study.resolved import Study

Run = tuple[Study, Path, RunResult]
"""An attacked run of one seed without a bank, its folder, and what it found."""


def together(runs: Sequence[Run]) -> Mapping[str, Mapping[str, Finding]]:
    """By adversary and metric; an adversary without a declared number in each of the runs is left out."""
    found = {}
    study, _, result = runs[0]
    for adversary, name in study.seats.observations:
        title = study.observation(name).name
        head = next(
            (f for f in result.findings if f.headline and (f.adversary, f.observation) == (str(adversary), title)), None
        )
        if head is None:
            continue
        repetitions = [_targets(one, place, adversary, name, head.statistic) for one, place, _ in runs]
        if all(repetitions):
            label = Label(title, str(adversary), head.statistic, head.level, True, head.note)
            roots = [one.roots[0] for one, _, _ in runs]
            found[str(adversary)] = {f.metric: f for f in measured(repetitions, head.target, label, roots)}
    return found


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
