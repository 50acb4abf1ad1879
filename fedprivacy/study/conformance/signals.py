"""Signals of a made-up bank of federations: pure noise, or with a planted leak. They need no training."""

from __future__ import annotations

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float, Int, Signals
from fedprivacy.attacks.membership.leave_one_out import leave_one_out
from fedprivacy.attacks.membership.logits import log_softmax

CLASSES, PEERS, ROUNDS = 4, 2, 2


def made_up(number: int, leak: float, n: int, federations: int, auxiliary: int) -> tuple[Signals, Bool]:
    """Signals about n candidates of one target, and its coins [n].

    Every candidate has its own difficulty, and each model adds noise. ``leak`` (nats) is added to the logit of the true
    class where the model trained on the record and taken from it where not. References: the other ``federations``,
    with coins of their own, and two clients that trained on no candidate.
    """
    draw = seeds.numpy_generator(0, "made-up signals", number)
    coins = draw.random((federations, n)) < 0.5
    own, theirs = (_Records(draw, size) for size in (n, auxiliary))
    peers = (federations, PEERS)
    signals = next(
        leave_one_out(
            own.answered(draw, coins, leak),
            coins,
            own.labels,
            population_logp=theirs.answered(draw, np.zeros((federations, auxiliary), dtype=bool), leak),
            population_labels=theirs.labels,
            peers_logp=own.answered(draw, np.zeros((*peers, n), dtype=bool), leak),
            peers_population_logp=theirs.answered(draw, np.zeros((*peers, auxiliary), dtype=bool), leak),
        )
    )
    return signals, coins[0]


class _Records:
    """Made-up records with labels and difficulties."""

    def __init__(self, draw: np.random.Generator, n: int) -> None:
        self.labels: Int = draw.integers(0, CLASSES, n)
        self._base: Float = draw.normal(size=(n, CLASSES))

    def answered(self, draw: np.random.Generator, used: Bool, leak: float) -> Float:
        """Log-probabilities [..., rounds, n, classes] of models that trained on the records in ``used`` [..., n]."""
        n = len(self.labels)
        logits = self._base + draw.normal(size=(*used.shape[:-1], ROUNDS, n, CLASSES))
        shift = np.where(used, leak, -leak)[..., None, :]
        logits[..., np.arange(n), self.labels] += shift
        return log_softmax(logits)
