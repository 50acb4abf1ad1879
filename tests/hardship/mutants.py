"""Plants each known way to break DP-SGD and DP-FedAvg into the library's own code, and audits it.

    make mutants                                   # thirteen mutants and 200 honest audits; writes reports/mutants.md
    python tests/hardship/mutants.py --only merged

A mutant replaces one function of the library while a game (:mod:`games`) is called many times on two neighbouring
inputs; `fedprivacy audit --mechanism` is the same audit. Exit 1 where fewer than eleven are refuted, or an unbroken
game is.
"""

from __future__ import annotations

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import games
import numpy as np
import torch
from games import DELTA, EPSILON, Game, predictions, updates
from planted import MEAN, MUTANTS, SAMPLED, Mutant

from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.reporting.text import count, epsilon
from fedprivacy.study.mechanism.audit import Stated, audit_mechanism

ENOUGH = 11
HONEST = 200
SPREAD = 1_000_000
"""Between the seeds of two audits, more than an audit has calls."""
GAMES = (SAMPLED, predictions(), updates((1.0, 0.0), (0.0, 1.0)), MEAN)
"""Unbroken, with how often each is audited: training takes longer."""
SHARES = (10, 60, 60, 70)


def audited(game: Game, calls: int, root: int = 0) -> MechanismAudit:
    """The audit of a game as it stands, with noise of its own for every ``root``."""
    games.ROOTS = itertools.count(root * SPREAD)
    stated = Stated(game.name, EPSILON, DELTA, game.relation)
    pair = {"the game's": (np.zeros(1), np.ones(1))}
    return audit_mechanism(lambda which: game.play(game.inputs[int(which[0])]), stated, pair, calls=calls, root=root)


def killed(mutant: Mutant) -> MechanismAudit:
    """The audit of a game with a mutant in the library."""
    with mutant.planted():
        return audited(mutant.game, mutant.calls)


def carried(job: tuple[str, int, int]) -> MechanismAudit:
    """A job by kind, number and root, in whatever process."""
    torch.set_num_threads(1)
    kind, number, root = job
    return killed(MUTANTS[number]) if kind == "mutant" else audited(GAMES[number], 400, root)


HEAD = """# Mutants: known ways to break differential privacy, planted here and audited

{summary}

Regenerate: `make mutants`, which writes this page.

Each row breaks one function of this library's DP-SGD or DP-FedAvg while a small game is played on its own code path
(`tests/hardship/games.py`): two steps of private training, a matrix of predictions, a client's update, or the mean of
updates. The accountant says epsilon {claim:g} at delta 1e-5 of each. The audit is that of `fedprivacy audit
--mechanism`: it is told the two neighbouring inputs and nothing of what is broken. *At least*: the lower bound at 95%
(Clopper-Pearson, on calls that chose nothing). *By*: the statistic that held-out calls chose. Noise comes from named
seeds.

| mutant | what it does | game | calls | at least | by | verdict |
|---|---|---|---|---|---|---|
"""
TAIL = """
## Unbroken

| game | audits of 400 calls | refuted |
|---|---|---|
"""
WEAK = """
Not refuted: {names}. Batches of a fixed size from a shuffled order, told as Poisson batches: here nothing above 0 was
measured. They do leak more: a record takes the place of another in its batch, so that a sum may move by two bounds
where one is told. In two steps that shows on few outputs alone; over many, where no statistic here looks. The library
has no such batches: `sampling = partition` deals each record to one batch and is accounted for as the Gaussian
release that it is.
"""


def page(found: list[MechanismAudit], fired: list[int], shares: list[int]) -> str:
    killed_ones = sum(one.refuted for one in found)
    summary = (
        f"{killed_ones} of {len(found)} mutants are refuted; of {sum(shares)} audits of the unbroken library "
        f"{sum(fired)} refuted anything."
    )
    rows = [
        f"| {m.name} | {m.what} | {m.game.name} | {count(m.calls)} | {epsilon(one.low, 'down')} | {one.statistic} | "
        f"{'**refuted**' if one.refuted else one.verdict.verdict} |"
        for m, one in zip(MUTANTS, found, strict=True)
    ]
    left = [m.name for m, one in zip(MUTANTS, found, strict=True) if not one.refuted]
    weak = WEAK.format(names=", ".join(left)) if left else ""
    unbroken = [f"| {game.name} | {share} | {bad} |" for game, share, bad in zip(GAMES, shares, fired, strict=True)]
    head = HEAD.format(summary=summary, claim=EPSILON)
    return head + "\n".join(rows) + "\n" + weak + TAIL + "\n".join(unbroken) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="mutants whose name holds this; no page is written")
    parser.add_argument("--honest", type=int, default=HONEST, help="audits of the unbroken library, about")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", type=Path, help="page to write")
    options = parser.parse_args()
    chosen = [k for k, mutant in enumerate(MUTANTS) if options.only is None or options.only in mutant.name]
    shares = [0 if options.only else share * options.honest // sum(SHARES) for share in SHARES]
    jobs = [("mutant", k, 0) for k in chosen]
    jobs += [("unbroken", k, root + 1) for k, share in enumerate(shares) for root in range(share)]
    found, fired = [], [0] * len(GAMES)
    with ProcessPoolExecutor(options.workers) as pool:
        for (kind, number, _), one in zip(jobs, pool.map(carried, jobs), strict=True):
            if kind == "mutant":
                found.append(one)
                told = f"{one.verdict.verdict}, at least {epsilon(one.low, 'down')}"
                print(f"{MUTANTS[number].name}: {told}", flush=True)
            else:
                fired[number] += one.refuted
    if options.only:
        return 0
    text = page(found, fired, shares)
    if options.out:
        options.out.write_text(text)
    print(text.splitlines()[2])
    return int(sum(one.refuted for one in found) < ENOUGH or sum(fired) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
