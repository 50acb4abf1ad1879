"""Signals with known margins, with nothing but noise, and with a planted leak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedprivacy.adversary.threat import Bool, Float, Int, References, Signals
from fedprivacy.attacks.membership.leave_one_out import leave_one_out
from fedprivacy.attacks.membership.logits import binary_logp, log_softmax


def _margins_to_logp(margins: Float, labels: Int) -> Float:
    """Two-class log-probabilities whose phi for ``labels`` is exactly ``margins``."""
    return binary_logp(np.where(labels == 1, margins, -margins))


def _from_margins(
    target: Float,
    references: Float,
    included: Bool,
    labels: Int | None = None,
    population: Float | None = None,
    reference_population: Float | None = None,
) -> Signals:
    labels = np.ones(len(target), dtype=np.int64) if labels is None else labels
    ones = None if population is None else np.ones(len(population), dtype=np.int64)
    theirs = None
    if reference_population is not None and ones is not None:
        theirs = _margins_to_logp(reference_population, ones)[:, None]
    seen = np.ones((1, len(target)), dtype=np.bool_)
    return Signals(
        _margins_to_logp(target, labels)[None],
        seen,
        seen,
        labels,
        References(_margins_to_logp(references, labels)[:, None], included, theirs),
        None if population is None or ones is None else _margins_to_logp(population, ones)[None],
        ones,
    )


@pytest.fixture
def from_margins() -> Callable[..., Signals]:
    """target [n], references [S, n], included [S, n] (and labels, population) -> one round of two-class signals."""
    return _from_margins


def _bank(
    draw: np.random.Generator, leak: float, n: int, federations: int, rounds: int, auxiliary: int = 100
) -> tuple[Signals, Bool]:
    """One target of a bank, with the other federations and three other clients as references, and its coins.

    ``leak`` is added to the true logit of members and taken from that of non-members; 0 is pure noise.
    """
    classes, peers = 4, 3
    labels, population_labels = draw.integers(0, classes, n), draw.integers(0, classes, auxiliary)
    coins = draw.random((federations, n)) < 0.5
    hardness, population_hardness = draw.normal(size=(n, classes)), draw.normal(size=(auxiliary, classes))

    def logp(used: Bool, known: Int, base: Float) -> Float:
        z = base + draw.normal(size=(*used.shape[:-1], rounds, used.shape[-1], classes))
        shift = np.where(used, leak, -leak)[..., None, :]
        index = np.broadcast_to(known[:, None], (*z.shape[:-1], 1))
        np.put_along_axis(z, index, np.take_along_axis(z, index, -1) + shift[..., None], -1)
        return log_softmax(z)

    never = np.zeros((federations, auxiliary), dtype=np.bool_)
    signals = next(
        leave_one_out(
            logp(coins, labels, hardness),
            coins,
            labels,
            population_logp=logp(never, population_labels, population_hardness),
            population_labels=population_labels,
            peers_logp=logp(np.zeros((federations, peers, n), dtype=np.bool_), labels, hardness),
            peers_population_logp=logp(
                np.zeros((federations, peers, auxiliary), dtype=np.bool_), population_labels, population_hardness
            ),
        )
    )
    # As a joint attack would give them: one log-odds a round, of members and of others.
    scores = draw.normal(size=(rounds, n)) + np.where(coins[0], leak, -leak)
    return replace(signals, scores=scores), coins[0]


@pytest.fixture
def bank() -> Callable[..., tuple[Signals, Bool]]:
    """(generator, leak, n, federations, rounds, auxiliary = 100) -> signals of one target and its coins."""
    return _bank
