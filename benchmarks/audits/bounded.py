"""Lower bounds of epsilon as the tables of the page show them."""

from __future__ import annotations

from dataclasses import dataclass

from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.study.audit.bounds import bounds_of

DELTA = 1e-5


@dataclass(frozen=True)
class Measured:
    """Lower bounds of epsilon: two that assume nothing on the mechanism, the ceiling of the first, one apart."""

    one_run: float
    pairs: float
    ceiling: float
    gaussian: float

    def cells(self, claim: float) -> str:
        """Cells of a table; a bound above the claim in bold."""
        judged = [f"**{low:.2f}**" if low > claim else f"{low:.2f}" for low in (self.one_run, self.pairs)]
        return " | ".join([*judged, f"{self.ceiling:.2f}", f"{self.gaussian:.2f}"])


HEADS = "one run | Clopper-Pearson | ceiling | Gaussian DP (apart)"


def bounds(scores: Float, coins: Bool, rows: int) -> Measured:
    """Bounds at 95% over all ``rows`` of a table; a fifth of the runs is guessed, fixed beforehand."""
    found = bounds_of(scores, coins, delta=DELTA, rows=2 * rows, guesses=len(scores) // 5)
    _, pairs, gaussian = found.apart
    return Measured(found.judged.low, pairs.low, found.judged.ceiling, gaussian.low)
