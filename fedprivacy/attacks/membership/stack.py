"""Stacking: one score from all rounds, statistics and observations of one adversary, learned where coins are known.

A row is a candidate of one client, a column one signal: a statistic's score in one round, or over the rounds. What is
learned is a logistic regression with an L2 penalty on the candidates of shadow federations, whose coins the adversary
drew itself (stacked generalisation, Wolpert 1992, doi 10.1016/S0893-6080(05)80023-1). The target's coins are in none
of it, neither as labels nor in the references behind a column.

Columns are standardised within a client of a federation, since scores of two models share no scale, and cut at five
standard deviations, so that a heavy tail does not drown the rest. A candidate without a signal gets its mean, 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from scipy.linalg import solve_triangular
from scipy.special import expit

from fedprivacy.adversary.threat import Bool, Float, Signals
from fedprivacy.attacks.membership.combine import Rule, combine, rule_of, score_candidates, score_rounds
from fedprivacy.attacks.membership.statistics import applicable

Columns = Mapping[str, Float]
"""Signal -> one score a candidate [n], NaN where there is none."""

CUT = 5.0
"""Standard deviations at which a column is cut."""
PENALTY = 10.0
"""Weight of half the squared norm of the coefficients against the summed log-loss. Flat between 1 and 100."""
PRECISE = {"ftol": 1e-15, "gtol": 1e-4, "maxiter": 1000}
"""When the search for coefficients ends: log-odds are right to about the slope that is left."""


@dataclass(frozen=True, eq=False)
class Stack:
    """A learned combination: ``weights`` [signals] of standardised columns, in the order of ``signals``."""

    signals: tuple[str, ...]
    weights: Float
    offset: float

    def score(self, columns: Columns) -> Float:
        """Log-odds of membership [n], higher says member; NaN for a candidate without any signal.

        Raises ValueError where a signal that it was learned with is missing.
        """
        missing = [name for name in self.signals if name not in columns]
        if missing:
            raise ValueError(f"the stack was learned with {missing[0]}, which this target does not give")
        known = np.any([~np.isnan(columns[name]) for name in self.signals], axis=0)
        odds = matrix(columns, self.signals) @ self.weights + self.offset
        return np.where(known, odds, np.nan)


def columns(signals: Signals, rule: Rule) -> dict[str, Float]:
    """Every signal that ``signals`` give: each applicable statistic by round and over the rounds by ``rule``.

    A statistic that fails on these signals gives no column.
    """
    found: dict[str, Float] = {}
    for statistic in applicable(signals):
        own: dict[str, Float] = {}
        try:
            if (own_rule := rule_of(statistic, rule)) is None:
                own[statistic.name] = score_candidates(statistic, signals, rule)
            else:
                rounds = score_rounds(statistic, signals)
                own[statistic.name] = combine(rounds, own_rule)
                own |= {f"{statistic.name}, observed round {number}": row for number, row in enumerate(rounds, 1)}
        except (ValueError, FloatingPointError, np.linalg.LinAlgError):
            continue
        found |= {name: values for name, values in own.items() if not np.isnan(values).all()}
    return found


def matrix(columns: Columns, names: Sequence[str]) -> Float:
    """Standardised columns [n, signals]: mean 0 and deviation 1 over the candidates that have one, 0 elsewhere."""
    values = np.array([columns[name] for name in names], dtype=np.float64)
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return np.asarray(np.clip(scaled, -CUT, CUT).T)


def learned(targets: Sequence[tuple[Columns, Bool]], offered: Sequence[str]) -> Stack:
    """The combination that tells members apart in ``targets``, each with coins [n] that the adversary knows.

    ``offered``: the signals that the attacked targets give; those are used that every target here gives too. Raises
    ValueError where none is left, or where the known coins lie on one side.
    """
    names = tuple(name for name in offered if all(name in columns for columns, _ in targets))
    if not targets or not names:
        raise ValueError("no signal is common to the target and the federations whose coins are known")
    seen = [np.any([~np.isnan(columns[name]) for name in names], axis=0) for columns, _ in targets]
    rows = np.concatenate([matrix(columns, names)[known] for (columns, _), known in zip(targets, seen, strict=True)])
    coins = np.concatenate([flips[known] for (_, flips), known in zip(targets, seen, strict=True)])
    if coins.all() or not coins.any():
        raise ValueError("the known coins lie on one side: nothing can be learned from them")
    weights = regression(rows, coins)
    return Stack(names, weights[:-1], float(weights[-1]))


def regression(rows: Float, coins: Bool) -> Float:
    """Weights [signals + 1], the last of them the offset, of the logistic regression of ``coins`` [n] on ``rows``.

    It is searched (L-BFGS) in coordinates in which the curvature at even odds, which bounds all others (Böhning and
    Lindsay 1988, doi 10.1007/BF00049423), is one: a few dozen looks at the rows, even where columns nearly repeat.
    """
    rows = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.full(rows.shape[1], PENALTY)
    penalty[-1] = 0.0
    root = np.linalg.cholesky(rows.T @ rows / 4 + np.diag(penalty))

    def loss(turned: Float) -> tuple[float, Float]:
        weights = solve_triangular(root, turned, trans="T", lower=True)
        odds = rows @ weights
        value = np.logaddexp(0.0, odds).sum() - odds[coins].sum() + 0.5 * penalty @ weights**2
        slope = rows.T @ (expit(odds) - coins) + penalty * weights
        return float(value), solve_triangular(root, slope, lower=True)

    found = scipy.optimize.minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options=PRECISE)
    return np.asarray(solve_triangular(root, found.x, trans="T", lower=True))
