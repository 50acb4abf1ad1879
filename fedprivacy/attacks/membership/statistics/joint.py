"""Joint: the sum over rounds of log-odds that were decoded for all candidates together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals


@dataclass(frozen=True)
class Joint:
    """Weights of the rounds are in the scores already, so all usable rounds are simply added."""

    name: ClassVar[str] = "joint"
    needs: ClassVar[frozenset[str]] = frozenset({"scores"})
    over_rounds: ClassVar[str] = "all"
    odds: ClassVar[bool] = True

    def score(self, signals: Signals) -> Float:
        """Log-odds of membership [n], higher says member; NaN where no round may be used. ValueError without scores."""
        if signals.scores is None:
            raise ValueError("joint needs scores that an observation decoded for all candidates together")
        usable = signals.seen & signals.clean & ~np.isnan(signals.scores)
        total = np.where(usable, signals.scores, 0.0).sum(axis=0)
        return np.where(usable.any(axis=0), total, np.nan)
