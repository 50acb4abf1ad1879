"""How much a late contribution counts: weights of a model that is ``late`` versions behind.

Xie et al., arXiv 1903.03934 (constant, polynomial, hinge); Nguyen et al., arXiv 2106.06639 (polynomial, a = 1/2).
"""

from __future__ import annotations


def polynomial(late: int, exponent: float) -> float:
    """``(late + 1)^-exponent``: 1 for a fresh model, falling for ever."""
    return float((late + 1.0) ** -exponent)


def hinge(late: int, slope: float, start: int) -> float:
    """1 up to ``start`` versions, ``1 / (slope (late - start) + 1)`` beyond."""
    return 1.0 if late <= start else 1.0 / (slope * (late - start) + 1.0)
