"""A mechanism of one's own, audited: `fedprivacy audit --mechanism examples/own_mechanism.py:noised ...` (README).

An update is clipped to norm 1 and gets Gaussian noise by the classical rule for epsilon 5, with the clip bound for its
sensitivity. Between two clients, or an update and its opposite, that is half of the true one.
"""

from __future__ import annotations

import math

import numpy as np

EPSILON, DELTA, CLIP = 5.0, 1e-5, 1.0
DEVIATION = CLIP * math.sqrt(2 * math.log(1.25 / DELTA)) / EPSILON

generator = np.random.default_rng()
mine = np.array([3.0, 4.0])
theirs = -mine


def noised(update: np.ndarray) -> np.ndarray:
    """What leaves the client."""
    clipped = update * min(1.0, CLIP / float(np.linalg.norm(update)))
    return clipped + generator.normal(scale=DEVIATION, size=clipped.shape)
