"""Holds the truth and scores attacks against it. No attack is ever handed what is in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool
from fedprivacy.judge.rates import measured
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Seeds, Target
from fedprivacy.metrics.intervals import corrected_level

NULL = "null (shuffled coins)"


def membership(repetitions: Sequence[Sequence[Target]], label: Label, of_seed: Seeds | None = None) -> list[Finding]:
    """Findings of one statistic: AUC and TPR at each FPR, pooled over clients and for each client.

    ``repetitions`` holds the targets of each federation, ``of_seed`` [repetitions] says which share a seed (default:
    none do). Without both members and non-members a target is an error finding, and the others stand.
    """
    of_seed = range(len(repetitions)) if of_seed is None else of_seed
    found = _of_target(repetitions, "all clients", label, of_seed)
    if label.headline and found[0].flag != "error":
        found += _null(repetitions, label, of_seed)
    names = list(dict.fromkeys(target.name for targets in repetitions for target in targets))
    if len(names) > 1:
        for name in names:
            alone = [[target for target in targets if target.name == name] for targets in repetitions]
            kept = [place for place, targets in enumerate(alone) if targets]
            theirs = [of_seed[place] for place in kept]
            found += _of_target([alone[place] for place in kept], name, label, theirs, auc_only=True)
    return found


def best_of(
    scored: Mapping[str, Sequence[Sequence[Target]]], label: Label, of_seed: Seeds | None = None
) -> list[Finding]:
    """The highest AUC of several statistics, named as the selection it is, with its interval corrected for it."""
    if len(scored) < 2:
        return []
    first = next(iter(scored.values()))
    of_seed = range(len(first)) if of_seed is None else of_seed
    strict = replace(label, level=corrected_level(label.level, len(scored)), headline=False)
    aucs = {name: measured(targets, "all clients", strict, of_seed, True)[0] for name, targets in scored.items()}
    best = max(aucs, key=lambda name: aucs[name].value or 0.0)
    note = f"{best}; a selection, interval corrected for {len(scored)} comparisons"
    name = f"best of {len(scored)}, selected"
    return [replace(aucs[best], statistic=name, level=label.level, note=note)]


def _of_target(
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, of_seed: Seeds, auc_only: bool = False
) -> list[Finding]:
    try:
        return measured(repetitions, target, label, of_seed, auc_only)
    except ValueError as error:
        return [failed(label, str(error), target)]


def _null(repetitions: Sequence[Sequence[Target]], label: Label, of_seed: Seeds) -> list[Finding]:
    """The same scores against shuffled coins: checks the metric, its pooling and its interval, not the attack.

    Coins are shuffled after scoring, so an attack that had seen the truth would pass; the observations are built so
    that none can. One row in twenty misses chance at a level of 95%.

    Coins of a target are shuffled among themselves where its scores are ranked among themselves. Log-odds lie higher
    where more coins fell on one, so that theirs are shuffled over all targets that are pooled.
    """
    together = all(one.odds for targets in repetitions for one in targets)
    shuffled = []
    for number, targets in enumerate(repetitions):
        coins = [target.truth.coins for target in targets]
        groups = [np.concatenate(coins)] if together and coins else coins
        drawn = [
            own[seeds.numpy_generator(0, "null row", number, place).permutation(len(own))]
            for place, own in enumerate(groups)
        ]
        mixed = np.split(np.concatenate(drawn), np.cumsum([len(own) for own in coins])[:-1]) if coins else []
        shuffled.append(
            [
                replace(target, truth=replace(target.truth, coins=flips))
                for target, flips in zip(targets, mixed, strict=True)
            ]
        )
    null = replace(
        label,
        statistic=NULL,
        headline=False,
        note=f"{label.statistic} on shuffled coins: checks the metric, not the attack",
    )
    return _of_target(shuffled, "all clients", null, of_seed)


def failed(label: Label, cause: str, target: str = "all clients") -> Finding:
    """A row for an attack that gave no number."""
    return Finding(
        "membership",
        label.observation,
        label.statistic,
        label.adversary,
        target,
        "AUC",
        None,
        None,
        None,
        None,
        label.level,
        0,
        flag="error",
        headline=label.headline,
        note=cause,
    )


def assert_trained_on_coins(trained: Sequence[Sequence[int]], pools: Sequence[Sequence[int]], coins: Bool) -> None:
    """Raise AssertionError unless each client trained on exactly the candidates whose coin fell on one."""
    start = 0
    for used, pool in zip(trained, pools, strict=True):
        expected = {int(record) for record, coin in zip(pool, coins[start : start + len(pool)], strict=True) if coin}
        start += len(pool)
        if set(map(int, used)) != expected:
            raise AssertionError("a client's training records are not those of its coins")
