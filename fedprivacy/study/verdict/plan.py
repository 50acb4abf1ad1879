"""What the page compares: one passive server, the same game, and what crosses the wire under five protections.

Predictions are those of distributed mutual learning; weights are those of federated averaging, stopped in the round in
which its models are as accurate, so that nobody pays for privacy with models that learned less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fedprivacy.config.base import build
from fedprivacy.config.run import DefenseConfig, RunConfig
from fedprivacy.study import recipes

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of each client's pool that the adversary knows."""

BUDGETS = (8.0, 4.0, 1.0)
"""Epsilon of the noise on predictions, for the whole run."""


@dataclass(frozen=True)
class Series:
    """One line of the figure. ``observations``: the declared attack, and no other is made."""

    title: str
    protocol: str
    observations: Sequence[str]
    stopped: bool = False
    """Whether it stops at the accuracy of the plain predictions."""
    options: Mapping[str, Any] = field(default_factory=dict)
    defense: Mapping[str, Any] = field(default_factory=dict)

    @property
    def predicts(self) -> bool:
        """Whether it shares predictions."""
        return not self.stopped


_RECIPE = recipes.table("verdict")

WEIGHTS = Series(**_RECIPE["weights"])
SUM = Series(**_RECIPE["sum"])
PREDICTIONS = Series(**_RECIPE["predictions"])


def noisy(epsilon: float) -> Series:
    """Predictions under Gaussian noise of a budget."""
    plain = Series(**_RECIPE["noisy"])
    return replace(plain, title=f"{plain.title}, epsilon {epsilon:g}", defense={**plain.defense, "epsilon": epsilon})


def every_series(budgets: Sequence[float] = BUDGETS) -> tuple[Series, ...]:
    """All lines, in the order of the legend."""
    return (WEIGHTS, SUM, PREDICTIONS, *map(noisy, budgets))


def trained(base: RunConfig, series: Series, seed: int, rounds: int) -> RunConfig:
    """The federation of a series on one seed, without an attack."""
    content = base.model_dump(mode="json")
    content |= {
        "protocol": series.protocol,
        "options": dict(series.options),
        "rounds": rounds,
        "seed": seed,
        "seeds": 1,
    }
    content["defense"] = {**DefenseConfig(delta=base.defense.delta).model_dump(mode="json"), **series.defense}
    content["attack"] = {}
    return build(RunConfig, content, f"verdict, {series.title}")


def attacked(config: RunConfig, base: RunConfig, series: Series, share: float) -> RunConfig:
    """The same federation read by an honest-but-curious server that knows ``share`` of each pool."""
    attack = base.attack.model_copy(
        update={
            "attacks": ("membership",),
            "adversaries": ("server",),
            "observations": tuple(series.observations),
            "known_share": share,
            "shadows": 0,
        }
    )
    return config.model_copy(update={"attack": attack})
