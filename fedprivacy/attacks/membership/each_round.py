"""Statistics that score each round of signals by itself, and do so for several rounds at once."""

from __future__ import annotations

import numpy as np

from fedprivacy.adversary.threat import Float, Signals


class EachRound:
    """What a statistic of one round inherits: it gives ``rounds``, and its ``score`` follows."""

    def rounds(self, signals: Signals) -> Float:
        """Scores [rounds, n] of signals in which every candidate was observed in every round, each round by itself."""
        raise NotImplementedError

    def score(self, signals: Signals) -> Float:
        """Scores [n] of signals that hold one round, or ValueError."""
        if len(signals.logp) != 1:
            raise ValueError(f"a statistic scores one round at a time, not {len(signals.logp)}; use at_round")
        return np.asarray(self.rounds(signals)[0])
