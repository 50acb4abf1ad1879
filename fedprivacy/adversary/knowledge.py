"""What every adversary of a run is given beside what it receives, in words that stand beside its numbers.

Two numbers are held against each other only where these words are equal: the start, the hyper-parameters, the share of
each client's pool, records and shadow federations of its own, and the effort and the budget of its attack.
"""

from __future__ import annotations

from fedprivacy.adversary.sight import Wire
from fedprivacy.config.run import AttackConfig


def granted(attack: AttackConfig, wire: Wire) -> str:
    """What an adversary knows, whatever an ``attack`` makes of it; a model on the ``wire`` has a start."""
    parts = [
        "the start" if wire.start_known else "no client's start",
        "the hyper-parameters" if wire.training_known else "no hyper-parameters",
        pool(attack.known_share) + ("" if attack.owners == "known" else " without their owners"),
        f"{wire.federation.data.auxiliary:,} records of its own",
    ]
    parts += [f"{attack.shadows} shadow federations"] if attack.shadows else []
    limit = "" if attack.budget is None else f" within {_budget(attack.budget)}"
    return f"{', '.join(parts)}; effort {attack.effort}{limit}"


def _budget(budget: float | str) -> str:
    return f"{budget:g} seconds" if isinstance(budget, float) else budget


def pool(share: float) -> str:
    """How much of each client's pool is known, in words."""
    return "all of each pool" if share == 1 else f"{100 * share:.3g}% of each pool"
