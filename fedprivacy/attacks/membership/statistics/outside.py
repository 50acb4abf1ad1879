"""A statistic from outside the package: ``name``, ``needs`` and ``score(signals)``, as inside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fedprivacy import parts
from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.decode import HARD_LABEL
from fedprivacy.attacks.membership.statistics import STATISTICS, offers
from fedprivacy.config.base import UsageError
from fedprivacy.federation.knowledge import Statistic


@dataclass(frozen=True)
class Outside:
    """The statistic ``made`` under the ``name`` that asked for it. A failure of foreign code is a row, not an end."""

    name: str
    made: Any

    @property
    def needs(self) -> frozenset[str]:
        """What it says that it needs."""
        return frozenset(self.made.needs)

    @property
    def over_rounds(self) -> str:
        """As in :func:`~fedprivacy.attacks.membership.combine.score_candidates`."""
        return str(getattr(self.made, "over_rounds", "each"))

    def score(self, signals: Signals) -> Float:
        """Scores [n]; ValueError for whatever goes wrong in there."""
        try:
            return np.asarray(self.made.score(signals), dtype=np.float64)
        except Exception as error:
            raise ValueError(f"it failed: {type(error).__name__}: {' '.join(str(error).split())}") from error


def statistic(name: str) -> Statistic:
    """The statistic of that name, from the table or from outside. UsageError where there is none."""
    if name in STATISTICS:
        return STATISTICS[name]()
    part = parts.load("statistic", name)
    try:
        made = part() if isinstance(part, type) else part
    except Exception as error:
        raise UsageError(f"statistic {name}: it cannot be built without arguments: {error}.") from error
    missing = [word for word in ("name", "needs", "score") if not hasattr(made, word)]
    if missing:
        raise UsageError(f"statistic {name}: it has no {', '.join(missing)}.")
    return cast("Statistic", Outside(name, made))


def asked(names: Iterable[str], signals: Signals) -> dict[str, Statistic]:
    """The statistics from outside among ``names`` that ``signals`` allow; hard labels are for ``correct`` alone."""
    if HARD_LABEL in signals.floor:
        return {}
    found = [statistic(name) for name in names if name not in STATISTICS]
    return {one.name: one for one in found if one.needs <= offers(signals)}
