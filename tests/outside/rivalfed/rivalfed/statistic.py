"""How far the true class lies above the best other one, against the references."""

import numpy as np


class Gap:
    name = "gap"
    needs = frozenset({"references"})

    def score(self, signals):
        own = self.gap(signals.logp[-1], signals.labels)
        theirs = np.stack([self.gap(one[-1], signals.labels) for one in signals.references.logp])
        return own - theirs.mean(axis=0)

    @staticmethod
    def gap(logp, labels):
        rows = np.arange(len(labels))
        others = logp.copy()
        others[rows, labels] = -np.inf
        return logp[rows, labels] - others.max(axis=1)
