"""Gaussian noise on predictions: the matrix of a client is clipped as a whole, then noised before it leaves.

Sensitivity. Let f(D) be the centred, clipped matrix of the model trained on D; its Frobenius norm is at most B. One
record more or less, or another, may change the model in any way, so f moves anywhere within that ball: by at most 2B,
which two opposite matrices reach. The noise on every entry is N(0, (z 2B)^2) with z the noise multiplier. The same
figure holds for replacing all records of a client. Every later release pays again, for every later model still holds
the record. Mechanism: Dwork and Roth 2014; calibration: Balle and Wang 2018 (arXiv 1805.06530).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fedprivacy.config.defenses import Budget, GaussianOptions
from fedprivacy.defenses import matrices, noise, plan
from fedprivacy.interfaces import Defense, Environment, Release
from fedprivacy.privacy import PrivacyEvent, Unit
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.wire import Payload, Predictions

NAME = "gaussian"


@dataclass(frozen=True)
class Clip:
    """How predictions of one form are centred and clipped, and brought back."""

    form: str
    centre: float
    bound: float
    project: bool

    def clipped(self, payload: Payload) -> Tensor:
        """Centre and clip: float64, Frobenius norm at most ``bound``. TypeError for any other payload."""
        if not isinstance(payload, Predictions) or payload.form != self.form:
            raise TypeError(f"no noise was planned for {payload.kind}: only for {self.form}")
        return matrices.clip_norm(matrices.finite(payload.values.double() - self.centre), self.bound)

    def opened(self, matrix: Tensor) -> Predictions:
        """A noised matrix as predictions again: post-processing."""
        values = matrix + self.centre
        if self.project and self.form == "probabilities":
            values = matrices.projected(values)
        return Predictions(matrices.as_sent(values), self.form)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Gaussian:
    """Noise at each client. Holds against everybody who sees the wire."""

    root: int
    clip: Clip
    noise_multiplier: float
    unit: Unit

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise on every entry."""
        return self.noise_multiplier * 2 * self.clip.bound

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        clipped = self.clip.clipped(payload)
        source = noise.stream(self.root, NAME, payload, sender, round)
        return self.clip.opened(clipped + noise.gaussian(clipped.shape, self.deviation, source))

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, problem)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism = plan.gaussian(self.noise_multiplier)
        return plan.events(env, releases, mechanism, self.unit, plan.relation_of(self.unit))


def problem(release: Release) -> str | None:
    """Why a release cannot be noised."""
    if release.kind != "predictions":
        return "it acts on predictions alone, and whatever else leaves would void the claim; use dp-sgd"
    if release.form not in matrices.SOFT:
        return f"it acts on numbers, not on {release.form}; use randomized-response"
    return None


def clip_for(name: str, env: Environment, release: Release, bound: float | None, project: bool) -> Clip:
    """How to clip a release; UsageError where the bound must be given."""
    columns = 1 if release.form == "losses" else plan.columns(env)
    if bound is None:
        if release.form != "probabilities":
            plan.refuse(name, f"{release.form} have no natural bound; set options.clip, chosen without private data")
        bound = matrices.largest_norm(plan.public_rows(env), columns)
    return Clip(release.form, matrices.centre(release.form, columns, len(env.dataset.classes)), bound, project)


def multiplier_for(budget: Budget, sends: int) -> float:
    """The noise multiplier of ``sends`` equal releases."""
    if budget.sigma is not None:
        return budget.sigma
    if budget.epsilon is None:
        raise ValueError("a budget needs epsilon or sigma")
    return gaussian_multiplier(budget.epsilon, budget.delta, sends)


def build(options: GaussianOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Defense:
    """The defense with noise for the whole run, at the clients or at the server."""
    from fedprivacy.defenses.gaussian_aggregate import GaussianAggregate

    plan.check_every(NAME, env, releases, problem)
    clip = clip_for(NAME, env, releases[0], options.clip, options.project)
    multiplier = multiplier_for(budget, plan.most_sends(env, releases))
    if options.placement == "aggregator":
        return GaussianAggregate(env.root, clip, multiplier, options.unit)
    return Gaussian(env.root, clip, multiplier, options.unit)
