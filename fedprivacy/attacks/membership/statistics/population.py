"""Population attack: the rank of the margin among known non-members of the same class (Ye et al. 2022, attack P)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.evidence import margins, population_margins


@dataclass(frozen=True)
class Population:
    """Mid-rank of phi among the auxiliary non-members of the same class."""

    name: ClassVar[str] = "population"
    needs: ClassVar[frozenset[str]] = frozenset({"population"})

    def score(self, signals: Signals) -> Float:
        """``(#{phi_z < phi} + 0.5 #{phi_z = phi}) / M_c`` [n], in [0, 1]; a class without any z uses all z."""
        values = margins(signals)
        known, known_labels = population_margins(signals)
        score = np.empty_like(values)
        for label in np.unique(signals.labels):
            mine = signals.labels == label
            same = known_labels == label
            z = np.sort(known[same] if same.any() else known)
            below = np.searchsorted(z, values[mine], side="left")
            score[mine] = (below + np.searchsorted(z, values[mine], side="right")) / (2 * len(z))
        return score
