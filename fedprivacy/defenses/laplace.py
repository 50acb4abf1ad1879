"""Laplace noise on predictions: the matrix of a client is clipped as a whole, then noised before it leaves.

Sensitivity. The sum of absolute entries of the centred, clipped matrix is at most B, and a changed record may move it
anywhere within that ball, so the L1 sensitivity is 2B. Laplace noise of scale 2B/epsilon on every entry gives epsilon
a release without any delta (Dwork et al. 2006). The L1 bound grows with the rows, where the L2 bound of Gaussian noise
grows with their root: for small folds only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fedprivacy.config.defenses import Budget, LaplaceOptions
from fedprivacy.defenses import matrices, noise, plan
from fedprivacy.defenses.acts_on import clipped
from fedprivacy.defenses.clip import Clip
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import Laplace as LaplaceMechanism
from fedprivacy.privacy import Mechanism, NoNoise, PrivacyEvent, Unit
from fedprivacy.privacy.calibration import laplace_epsilon
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "laplace"


@dataclass(frozen=True)
class Laplace:
    """Noise at each client, ``epsilon`` a release. ``clip.bound`` is on the sum of absolute entries."""

    root: int
    clip: Clip
    epsilon: float
    unit: Unit

    @property
    def scale(self) -> float:
        """Scale of the noise on every entry; its standard deviation is sqrt(2) times that."""
        return 2 * self.clip.bound / self.epsilon

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions) or payload.form != self.clip.form:
            raise TypeError(f"no noise was planned for {payload.kind}: only for {self.clip.form}")
        centred = matrices.finite(payload.values.double() - self.clip.centre)
        clipped = matrices.clip_sum(centred, self.clip.bound)
        source = noise.stream(self.root, NAME, payload, sender, round)
        return self.clip.opened(clipped + noise.laplace(clipped.shape, self.scale, source))

    def silent(self) -> Laplace:
        return replace(self, epsilon=math.inf)

    def log_ratio(self, sent: Tensor, one: Tensor, other: Tensor) -> float:
        apart = (sent.double() - other.double()).abs() - (sent.double() - one.double()).abs()
        return float(apart.sum()) / max(self.scale, noise.LEAST)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, clipped)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism: Mechanism = LaplaceMechanism(self.epsilon) if math.isfinite(self.epsilon) else NoNoise()
        return plan.events(env, releases, mechanism, self.unit, plan.relation_of(self.unit))


def build(options: LaplaceOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Laplace:
    """The defense with noise for the whole run. A sigma is the standard deviation over the L1 sensitivity."""
    plan.check_every(NAME, env, releases, clipped)
    release = releases[0]
    if options.clip is None and release.form != "probabilities":
        plan.refuse(
            NAME, f"{release.form} have no natural bound; set defense.options.clip, chosen without private data"
        )
    columns = 1 if release.form == "losses" else plan.columns(env)
    bound = options.clip or matrices.largest_sum(plan.public_rows(env), columns)
    centre = matrices.centre(release.form, columns, len(env.dataset.classes))
    if budget.sigma is not None:
        epsilon = math.sqrt(2) / budget.sigma if budget.sigma > 0 else math.inf
    elif budget.epsilon is not None:
        epsilon = laplace_epsilon(budget.epsilon, budget.delta, plan.most_sends(env, releases))
    else:
        raise ValueError("a budget needs epsilon or sigma")
    return Laplace(env.root, Clip(release.form, centre, bound, options.project), epsilon, options.unit)
