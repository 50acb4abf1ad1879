"""The clip in front of noise on predictions: centred, bounded as a whole matrix, and brought back afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedprivacy.defenses import matrices, plan
from fedprivacy.federation.environment import Environment
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release


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


def clip_for(name: str, env: Environment, release: Release, bound: float | None, project: bool) -> Clip:
    """How to clip a release; UsageError where the bound must be given."""
    columns = 1 if release.form == "losses" else plan.columns(env)
    if bound is None:
        if release.form != "probabilities":
            plan.refuse(
                name, f"{release.form} have no natural bound; set defense.options.clip, chosen without private data"
            )
        bound = matrices.largest_norm(plan.public_rows(env), columns)
    return Clip(release.form, matrices.centre(release.form, columns, len(env.dataset.classes)), bound, project)
