"""The claim as a curve, for audits in one run: what its mechanism gives away at most, with its noise or with less."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from fedprivacy.metrics.epsilon.trade_off import GaussianCurve, ProfileCurve, TradeOff
from fedprivacy.privacy.events import PrivacyEvent
from fedprivacy.privacy.family import Member, book_of, member
from fedprivacy.privacy.ledger import Ledger

LEAKS = tuple(float(leak) for leak in np.geomspace(1 / 16, 6, 384))
"""Noise over that of the claim, the other way round: steps of 1.2% of the leak."""


def curve_of(one: Member) -> TradeOff:
    """The trade-off curve of a member of the family."""
    if one.mu is not None:
        return GaussianCurve(one.mu)
    return ProfileCurve(*one.profile())


class Family(Sequence[tuple[float, TradeOff]]):
    """(epsilon, curve) of the claim's mechanism with ever less noise; each is worked out when it is asked for."""

    def __init__(self, book: Ledger, delta: float) -> None:
        self._book, self._delta = book, delta
        self._found: dict[float, tuple[float, TradeOff]] = {}
        self.known: dict[Hashable, float] = {}
        """What was worked out about the claim, by the audit that was played."""

    @classmethod
    def of(cls, events: Iterable[PrivacyEvent], delta: float) -> Family | None:
        """The family of a run's privacy events; None where no one curve stands behind its claim."""
        book = book_of(events, delta)
        return None if book is None else cls(book, delta)

    def at(self, leak: float) -> tuple[float, TradeOff]:
        """The mechanism with every noise 1/``leak`` of what it was: its epsilon and its curve."""
        if leak not in self._found:
            made = member(self._book, leak, self._delta)
            self._found[leak] = made.epsilon, curve_of(made)
        return self._found[leak]

    @cached_property
    def claimed(self) -> TradeOff:
        """The curve of the mechanism as it is accounted for."""
        return self.at(1.0)[1]

    def __len__(self) -> int:
        return len(LEAKS)

    @overload
    def __getitem__(self, index: int) -> tuple[float, TradeOff]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[float, TradeOff]]: ...

    def __getitem__(self, index: int | slice) -> tuple[float, TradeOff] | Sequence[tuple[float, TradeOff]]:
        if isinstance(index, slice):
            return [self.at(leak) for leak in LEAKS[index]]
        return self.at(LEAKS[index])
