"""The game of one repetition: records, roles and coins. The truth, which only the examiner's side holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Bool
from fedprivacy.data.coins import members_of
from fedprivacy.data.records import Dataset, Division, Ids


@dataclass(frozen=True, eq=False)
class Game:
    """Records, roles and coins of one repetition, or of one of its shadows."""

    dataset: Dataset
    division: Division
    coins: tuple[Bool, ...]
    canaries: tuple[Bool, ...]
    """One mask a client: the candidates that are guessed; all of them where no audit chose some."""

    @property
    def candidates(self) -> Ids:
        """All candidates, client after client."""
        return np.concatenate([self.division.pool(k) for k in range(len(self.division.candidates))])

    @property
    def owners(self) -> Ids:
        """Owner of each candidate."""
        return np.repeat(np.arange(len(self.coins)), [len(c) for c in self.coins])

    @property
    def flat_coins(self) -> Bool:
        """Coins in the order of :attr:`candidates`."""
        return np.concatenate(self.coins)

    @property
    def flat_canaries(self) -> Bool:
        """Which of :attr:`candidates` are guessed."""
        return np.concatenate(self.canaries)

    def members(self) -> tuple[tuple[Ids, ...], ...]:
        """[client][fold] records trained on."""
        return members_of(self.division, self.coins)
