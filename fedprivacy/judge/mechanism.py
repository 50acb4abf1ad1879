"""What the audit of a mechanism found, as plain values that go to JSON. A report is a pure function of this."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fedprivacy.judge.result import Verdict

SCHEMA = "fedprivacy/mechanism/1"


@dataclass(frozen=True)
class MechanismAudit:
    """A claim (``claim``, ``delta``) on ``relation`` inputs, and the lower bound that its outputs gave."""

    mechanism: str
    claim: float
    delta: float
    relation: str
    inputs: str
    """The two inputs in words."""
    calls: int
    """In all, those included on which the statistic and the region were chosen."""
    judged: int
    statistic: str
    region: str
    """Scores that lie in it were counted."""
    counts: str
    level: float
    low: float
    ceiling: float
    """What a mechanism that hides nothing would have shown in as many calls."""
    reachable: float | None
    """What Gaussian noise of exactly this claim would have shown; None at delta 0."""
    estimate: tuple[float, float, float] | None
    """Epsilon and its interval if the output is Gaussian, of one spread; None where it is not, and at delta 0."""
    verdict: Verdict
    budget: int | None = None
    """Of an audit that may stop early, the calls at most; None where the number is fixed."""
    evidence: float | None = None
    """The most that bets against the claim ever grew to, from 1; 1 / (1 - level) refutes it."""

    @property
    def refuted(self) -> bool:
        """Whether the claim fell: the bound lies above it, or, in an audit that stops early, bets against it won."""
        return self.verdict.verdict == "refuted"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {"schema": SCHEMA, **asdict(self)}
        assert all(math.isfinite(value) for value in found.values() if isinstance(value, float))
        return found
