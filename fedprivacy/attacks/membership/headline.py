"""The one headline of an adversary: which of its observations carries it, fixed by names before anything is run.

An adversary that reads one transcript in several ways has one headline all the same, or the verdict would be a choice
among results. The order rests on measurements that were published before the run: traps in a dishonest server's model,
then the exact reading of noised steps and of noised releases, then joint decoding of all candidates (by weights before
predictions, by planted ones before those of the protocol), then planted probes, then what is read off a single record.
A server that departs from the protocol sees all that one which follows it sees, so its headline is of both.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.config.run import AttackConfig

JOINT = "joint"
"""The statistic of observations that give log-odds themselves, or another scale that all targets share."""

STACK = "stack"
"""The statistic that combines all observations of an adversary; it belongs to none of them."""

GIVE_ODDS = (
    "traps",
    "noised-updates",
    "coin-updates",
    "coin-answers",
    "joint-updates",
    "joint-probes",
    "joint-predictions",
)
"""Observations that give log-odds of membership, and no prediction that another statistic could read. Traps give
standard deviations from where nobody trained, which are on one scale too."""

ORDER = (*GIVE_ODDS, "probes")
"""Observations that carry the headline before any other, first to last."""


def asked_for(attack: AttackConfig) -> str | None:
    """The statistic that is asked for as headline, by name or as the first to score with; None where none is."""
    return attack.headline or next((name for name in attack.statistics if name != STACK), None)


def declared(names: Sequence[str], asked: str | None = None) -> str | None:
    """Which of an adversary's observations ``names`` carries its headline; None where the stack of all does.

    It is the first of :data:`ORDER` among them, else the first that is named. A statistic ``asked`` for as headline
    narrows the choice to observations that give what it reads.
    """
    if asked == STACK:
        return None
    able = [name for name in names if asked is None or (name in GIVE_ODDS) == (asked == JOINT)]
    return min(able or names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
