"""Whether the stack of a stored run would be as good if it learned on fewer shadow federations.

``python benchmarks/lessons.py RUN``, RUN a stored run with a bank (``--shadows 8`` or more) and without joint decoding:
AUC and TPR at 1% FPR of the stack, mean over federations, and by how much each lies above that of all lessons, with
the standard error over federations. The federations that are learned on are spread evenly over those that may be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.stack import learned
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.metrics import auc, tpr_at_fpr
from fedprivacy.study import stored
from fedprivacy.study.membership.stacked import GROUPS, Bank, bank_of
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, shadow_places

LESSONS = (1, 2, 4, 6, 8, 1_000)
"""Federations that are learned on; the last means all."""


def banks(run: Path) -> Iterator[Bank]:
    """What each adversary of the first seed observed in all federations."""
    study = resolve(build(RunConfig, stored.read_config(run), str(run)))
    root = study.roots[0]
    place, shadows = study.place(run, root), shadow_places(study, Plan(run), root)
    repetition = Repetition(root, study.game(root), {}, place, shadows)
    for adversary in study.seats.observers:
        found = bank_of(study, repetition, adversary, study.seats.observed_by(adversary))
        if found is not None:
            yield found


def measured(bank: Bank) -> tuple[int, dict[int, Float]]:
    """How many signals are combined, and (AUC, TPR) of each federation [F, 2] by federations that were learned on."""
    federations, targets = range(len(bank.coins)), list(bank.targets())
    found: dict[int, dict[int, Float]] = {count: {} for count in LESSONS}
    signals = 0
    for first in range(GROUPS):
        judged = federations[first::GROUPS]
        known = [number for number in federations if number not in judged]

        def columns(number: int, beside: list[int]) -> list[tuple[dict[str, Float], np.ndarray]]:
            others = [one for one in beside if one != number]
            return [(dict(bank.columns(number, others, *one)), bank.coins[number][one[1]]) for one in targets]

        own = {number: columns(number, list(federations)) for number in judged}
        lessons = {number: columns(number, known) for number in known}
        offered = [name for name in own[first][0][0] if all(name in one for rows in own.values() for one, _ in rows)]
        for count in LESSONS:
            taken = min(count, len(known))
            chosen = [known[place * len(known) // taken] for place in range(taken)]
            stack = learned([lesson for number in chosen for lesson in lessons[number]], offered)
            signals = len(stack.signals)
            for number, rows in own.items():
                found[count][number] = np.mean([told(stack.score(one), coins) for one, coins in rows], axis=0)
    return signals, {count: np.array([rates[number] for number in federations]) for count, rates in found.items()}


def told(odds: Float, coins: np.ndarray) -> Float:
    """(AUC, TPR at 1% FPR)."""
    members, others = odds[coins & ~np.isnan(odds)], odds[~coins & ~np.isnan(odds)]
    return np.array([auc(members, others), tpr_at_fpr(members, others, 0.01).tpr])


def main() -> None:
    """Print a table an adversary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    for bank in banks(parser.parse_args().run):
        signals, found = measured(bank)
        rows = sum(len(chosen) for _, chosen in bank.targets())
        print(f"{bank.adversary}, {', '.join(bank.observed)}: {signals} signals, {rows} rows a federation")
        for count, rates in found.items():
            gaps = rates - found[LESSONS[-1]]
            error = gaps.std(axis=0, ddof=1) / len(gaps) ** 0.5
            figures = zip(rates.mean(axis=0), gaps.mean(axis=0), error, strict=True)
            words = " | ".join(f"{rate:.4f} | {gap:+.4f} ({off:.4f})" for rate, gap, off in figures)
            print(f"| {count if count < len(bank.coins) else 'all'} | {words} |")


if __name__ == "__main__":
    main()
