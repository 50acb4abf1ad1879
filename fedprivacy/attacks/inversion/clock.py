"""A budget of processor time for an iterative attack, so that other work on the machine takes nothing from it.

Where it bites, a result still depends on how fast the processor is, and says so; a budget in steps does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import process_time


@dataclass(frozen=True)
class Clock:
    """Runs from its making; ``seconds`` of this process, None is no limit."""

    seconds: float | None = None
    start: float = field(default_factory=lambda: process_time())

    def spent(self) -> float:
        """Share of the budget that is gone: 0 without a limit, 1 and more when it is over."""
        if self.seconds is None:
            return 0.0
        return (process_time() - self.start) / max(self.seconds, 1e-9)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.spent() >= 1

    def part(self, share: float) -> Clock:
        """A new clock with ``share`` of the seconds that are left."""
        if self.seconds is None:
            return self
        return Clock(max(0.0, self.seconds - (process_time() - self.start)) * share)


UNLIMITED = Clock()
