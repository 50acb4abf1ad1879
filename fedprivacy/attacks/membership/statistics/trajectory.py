"""Trajectory: the margins of all usable rounds as one vector, projected on the mean way that training moves it.

Fisher's linear discriminant with a pooled within-candidate covariance: rounds that carry the same noise twice count
once. Takes all rounds at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, Signals
from fedprivacy.attacks.membership.evidence import reference_margins
from fedprivacy.attacks.membership.logits import phi
from fedprivacy.attacks.membership.moments import fill_empty, kept, masked_mean


@dataclass(frozen=True)
class Trajectory:
    """``shrinkage``: how far the covariance is pulled to its diagonal."""

    name: ClassVar[str] = "trajectory"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "in-references", "several-rounds"})
    over_rounds: ClassVar[str] = "all"
    shrinkage: float = 0.1

    def score(self, signals: Signals) -> Float:
        """``(v - mu_out)' S^-1 (mean_i mu_in - mean_i mu_out)`` [n]; NaN where no round is seen and clean.

        Candidates are grouped by which rounds they have; each group uses the marginal of its rounds. Raises
        ValueError without references that were, and that were not, trained on some candidate.
        """
        if signals.references is None:
            raise ValueError("trajectory needs references")
        usable = signals.seen & signals.clean
        margins = phi(signals.logp, signals.labels)
        references = reference_margins(signals.references, signals.labels)
        score = np.full(usable.shape[1], np.nan)
        patterns, group = np.unique(usable.T, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            if not pattern.any():
                continue
            covering = usable[pattern].all(axis=0)
            members = group[covering] == number
            values = margins[pattern][:, covering]
            if np.isnan(values[:, members]).any():
                raise ValueError("a candidate marked as seen has no prediction")
            theirs = references[:, pattern][:, :, covering]
            score[group == number] = self._project(
                values, theirs, signals.references.included[:, covering], signals.labels[covering]
            )[members]
        return score

    def _project(self, values: Float, references: Float, included: Bool, labels: Int) -> Float:
        """values [R, n], references [S, R, n], included [S, n] -> [n]."""
        observed = ~np.isnan(references).any(axis=1)
        scatter, freedom, means = np.zeros((len(values), len(values))), 0, []
        for mask in (observed & included, observed & ~included):
            mean, count = masked_mean(references, mask[:, None])
            residual = kept(references - mean, mask[:, None])
            scatter += (residual @ np.moveaxis(residual, 1, 2)).sum(axis=0)
            freedom += int(np.maximum(count - 1, 0).sum())
            means.append(fill_empty(mean, np.broadcast_to(count, mean.shape), labels))
        covariance = scatter / freedom if freedom else np.eye(len(values))
        diagonal = np.where(np.diag(covariance) > 0, np.diag(covariance), 1.0)
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * np.diag(diagonal)
        inside, outside = means
        direction = np.linalg.solve(shrunk, inside.mean(axis=1) - outside.mean(axis=1))
        return np.asarray(direction @ (values - outside))
