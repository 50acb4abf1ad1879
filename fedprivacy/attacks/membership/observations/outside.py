"""An observation from outside the package: ``name`` and ``observe(view, knowledge)``, as inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from fedprivacy import parts
from fedprivacy.adversary.threat import View
from fedprivacy.config.base import UsageError
from fedprivacy.federation.knowledge import Knowledge, Observation, Observed


@dataclass(frozen=True)
class Outside:
    """The observation ``made`` under its own ``name``. A failure of foreign code is a row, not an end."""

    name: str
    made: Any

    @property
    def needs_start(self) -> bool:
        """Whether it works with the weights that everybody began from."""
        return bool(getattr(self.made, "needs_start", False))

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """What it tells; ValueError for whatever goes wrong in there, and for what does not fit the candidates."""
        try:
            found = self.made.observe(view, knowledge)
        except Exception as error:
            raise ValueError(f"it failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(found, Observed):
            raise ValueError(f"it returned a {type(found).__name__}, not an Observed")
        n, classes = len(knowledge.candidates), len(knowledge.dataset.classes)
        if found.logp.ndim != 4 or found.logp.shape[2:] != (n, classes) or found.seen.shape != found.logp.shape[1:3]:
            raise ValueError(
                f"logp is {found.logp.shape}, not [sources, rounds, {n}, {classes}], or seen does not fit it"
            )
        return found


def observation(name: str) -> Observation:
    """The observation of that name from outside. UsageError where there is none."""
    part = parts.load("observation", name)
    try:
        made = part() if isinstance(part, type) else part
    except Exception as error:
        raise UsageError(f"observation {name}: it cannot be built without arguments: {error}.") from error
    if not hasattr(made, "observe"):
        raise UsageError(f"observation {name}: it has no observe(view, knowledge).")
    return cast("Observation", Outside(str(getattr(made, "name", parts.title(name))), made))
