"""FL4Health's accountant for records, where clients take part at random and train several epochs.

It multiplies the client's rate into the rate of every batch, as if the client were drawn anew for each. It is drawn
once a round: if it takes part, its record is in all batches of the round. The rounds that it describes are played here
by Gaussian noise of its multiplier; the accountant's figure is its own.
"""

from __future__ import annotations

import numpy as np
from case import Case
from dp_accounting.pld import privacy_loss_distribution as pld
from fl4health.privacy.fl_accountants import FlInstanceLevelAccountant

RATE, MULTIPLIER, SIZE, DELTA = 0.1, 2.0, 100, 1e-5
generator = np.random.default_rng()


def stated(epochs: int) -> float:
    book = FlInstanceLevelAccountant(RATE, MULTIPLIER, epochs, [SIZE], [SIZE])
    return float(book.get_epsilon(1, DELTA))


def hidden(epochs: int):
    """The sum [1] over the epochs of a round of a record's clipped gradient, noised; who took part is not seen."""

    def played(gradient: np.ndarray) -> np.ndarray:
        inside = generator.random() < RATE
        return (gradient * inside + MULTIPLIER * generator.normal(size=epochs)).sum(keepdims=True)

    return played


def seen(epochs: int):
    """The same of a client that is seen to take part."""
    return lambda gradient: (gradient + MULTIPLIER * generator.normal(size=epochs)).sum(keepdims=True)


def mixture(epochs: int) -> float:
    """Epsilon of the round where participation is hidden."""
    deviation = MULTIPLIER / np.sqrt(epochs)
    found = pld.from_gaussian_mechanism(deviation, sampling_prob=RATE, value_discretization_interval=1e-4)
    return float(found.get_epsilon_for_delta(DELTA))


def case(epochs: int, watched: bool, calls: int) -> Case:
    closed = {"mu": np.sqrt(epochs) / MULTIPLIER} if watched else {"known": mixture(epochs)}
    return Case(
        f"FlInstanceLevelAccountant, {epochs} full-batch epoch{'s' * (epochs > 1)}",
        (seen if watched else hidden)(epochs),
        np.zeros(1),
        np.ones(1),
        stated(epochs),
        DELTA,
        f"client_sampling_rate={RATE:g}, noise_multiplier={MULTIPLIER:g}, one round",
        "record, add-remove, participation " + ("seen" if watched else "hidden"),
        calls,
        honest=epochs == 1 and not watched,
        **closed,
    )


CASES = [case(10, False, 200_000), case(10, True, 40_000), case(1, False, 40_000)]
