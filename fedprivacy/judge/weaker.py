"""Whether what was read less of was read by a weaker attack: then its being less says nothing of what crossed the wire.

Joint decoding explains all candidates together, and reads what one record at a time does not show: .97 of a mean of
five clients, of which the ratio of one record reads .55. So a number by the one is not less than a number by the other
for what was sent, whether or not anybody knows how to decode the former jointly.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Finding
from fedprivacy.judge.verdicts import STRONGER_KNOWN

JOINT = "joint"
"""The statistic of observations that decode all candidates together."""

NONE_KNOWN = "a weaker attack reads one record at a time, and no stronger one is known here"


def weaker(less: Sequence[Finding], more: Sequence[Finding]) -> str:
    """Why ``less`` was read by a weaker attack than ``more``, each the headline of every seed; empty where it was not.

    A stronger attack that was left out on both sides leaves them on equal terms, and so does one record at a time.
    """
    if _any_spared(less) and not _any_spared(more):
        return STRONGER_KNOWN
    return NONE_KNOWN if _any_alone(less) and not _any_alone(more) else ""


def _any_spared(found: Sequence[Finding]) -> bool:
    return any(STRONGER_KNOWN in one.note for one in found)


def _any_alone(found: Sequence[Finding]) -> bool:
    return any(one.statistic != JOINT for one in found)
