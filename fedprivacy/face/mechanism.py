"""``fedprivacy.audit`` of a function of one's own that adds noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedprivacy.config.base import UsageError
from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.study.mechanism.audit import Stated, audit_mechanism
from fedprivacy.study.mechanism.early import audit_until_refuted
from fedprivacy.study.mechanism.pairs import Norm, worst_pairs

MEANT = "fedprivacy.audit of a function"


def audit_function(
    mechanism: Callable[[Any], Any],
    *,
    epsilon: float | None = None,
    delta: float = 1e-5,
    neighbours: tuple[Any, Any] | None = None,
    sensitivity: float | None = None,
    shape: tuple[int, ...] = (1,),
    norm: Norm = "l2",
    relation: str = "neighbouring",
    calls: int = 20_000,
    stop_early: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> MechanismAudit:
    """Call ``mechanism`` on two neighbouring inputs and hold the claim (``epsilon``, ``delta``) against its outputs.

    ``neighbours``: two inputs, arrays or several of them. Or ``sensitivity``: how far apart arrays of ``shape`` may be
    in ``norm``; the worst pair is looked for. ``stop_early``: stop as soon as the claim falls, after ``calls`` at most.
    Raises UsageError.
    """
    if epsilon is None:
        raise UsageError(f"{MEANT}: say what is claimed: epsilon, and unless it is 1e-5, delta.")
    if (neighbours is None) == (sensitivity is None):
        raise UsageError(f"{MEANT}: give two inputs as neighbours=(a, b), or sensitivity; one of the two.")
    if not 0 < level < 1:
        raise UsageError(f"level: above 0 and below 1, not {level:g}.")
    stated = Stated(getattr(mechanism, "__name__", type(mechanism).__name__), float(epsilon), float(delta), relation)
    if neighbours is not None:
        if len(neighbours) != 2:
            raise UsageError(f"neighbours: two inputs, not {len(neighbours)}.")
        pairs = {"the two that were given": (neighbours[0], neighbours[1])}
    else:
        assert sensitivity is not None
        pairs = dict(worst_pairs(float(sensitivity), tuple(shape), norm))
    audit = audit_until_refuted if stop_early else audit_mechanism
    return audit(mechanism, stated, pairs, calls=calls, level=level, root=seed)
