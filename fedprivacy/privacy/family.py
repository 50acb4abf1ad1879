"""The mechanism of a claim, and the same with all of its noise scaled: what a whole-curve audit is held against.

One number, the leak, moves the family: at leak 1 it is the mechanism as accounted for, at leak L every noise is 1/L of
that. Epsilon rises with it, so the largest refuted member is a lower bound of epsilon within the family.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedprivacy.privacy import loss_distribution
from fedprivacy.privacy.accountant import epsilon_of
from fedprivacy.privacy.events import PrivacyEvent
from fedprivacy.privacy.ledger import Counts, Ledger, ledger
from fedprivacy.privacy.mechanisms import PostProcessing

POINTS = 160


@dataclass(frozen=True)
class Member:
    """One mechanism: its epsilon at the claim's delta, and mu where it is Gaussian, or else its ledger."""

    epsilon: float
    mu: float | None
    book: Ledger

    def profile(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Epsilons [k] and the deltas [k] that go with them, in both directions of the relation."""
        about = max(self.epsilon, 0.05)
        epsilons = np.concatenate([np.linspace(0, about, POINTS), about * np.linspace(1.02, 3, POINTS // 2)])
        return epsilons, loss_distribution.profile(self.book, epsilons, about)


def book_of(events: Iterable[PrivacyEvent], delta: float) -> Ledger | None:
    """What the client and fold that pay most went through; None where something left bare or relations are mixed.

    Randomised response and Laplace noise stand in it too; what one client's records pay is composed, never added.
    """
    noised = [event for event in events if not isinstance(event.mechanism, PostProcessing)]
    if not noised or len({(event.unit, event.relation) for event in noised}) > 1:
        return None
    by_record: dict[tuple[int, int | None], list[PrivacyEvent]] = {}
    for event in noised:
        by_record.setdefault((event.client, event.fold), []).append(event)
    common = {client: by_record.get((client, None), []) for client, _ in by_record}
    books = {
        ledger(e.mechanism for e in (*own, *(common[client] if fold is not None else ())))
        for (client, fold), own in by_record.items()
    }
    if any(book.bare for book in books):
        return None
    return max(books, key=lambda book: epsilon_of(book, delta).epsilon)


def member(book: Ledger, leak: float, delta: float) -> Member:
    """``book`` with every noise 1/``leak`` of what it was."""
    scaled = replace(
        book,
        mu_squared=book.mu_squared * leak**2,
        laplace=_scaled(book.laplace, leak),
        response=_scaled(book.response, leak),
        sampled=tuple(((key[0] / leak, *key[1:]), number) for key, number in book.sampled),
    )
    mu = math.sqrt(scaled.mu_squared) if scaled.gaussian_only else None
    return Member(epsilon_of(scaled, delta).epsilon, mu, scaled)


def _scaled(counts: Counts, leak: float) -> Counts:
    return tuple(((key[0] * leak, *key[1:]), number) for key, number in counts)
