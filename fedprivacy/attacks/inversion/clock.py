"""A budget of seconds for an iterative attack. Where it bites, a result depends on the machine, and says so."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """Runs from its making; ``seconds`` None is no limit."""

    seconds: float | None = None
    start: float = field(default_factory=time.perf_counter)

    def spent(self) -> float:
        """Share of the budget that is gone: 0 without a limit, 1 and more when it is over."""
        if self.seconds is None:
            return 0.0
        return (time.perf_counter() - self.start) / max(self.seconds, 1e-9)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.spent() >= 1

    def part(self, share: float) -> Clock:
        """A new clock with ``share`` of the seconds that are left."""
        if self.seconds is None:
            return self
        return Clock(max(0.0, self.seconds - (time.perf_counter() - self.start)) * share)


UNLIMITED = Clock()
