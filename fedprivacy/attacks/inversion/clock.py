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


@dataclass(frozen=True)
class Until:
    """Ends a training (:class:`~fedprivacy.training.stopping.Watch`) after the pass in which ``clock`` is over."""

    clock: Clock

    def enough(self, _: object) -> bool:
        """Whether nothing is left."""
        return self.clock.over

    def restore(self, _: object) -> None:
        """The weights stay as they are."""


UNLIMITED = Clock()


def until(clock: Clock) -> Until | None:
    """What ends a training when ``clock`` is over; None without a limit, where trainings may be done together."""
    return None if clock.seconds is None else Until(clock)
