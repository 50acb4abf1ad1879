"""OpenDP's measurements, which give their epsilon themselves."""

from __future__ import annotations

import numpy as np
import opendp.prelude as dp
from case import Case

dp.enable_features("contrib")
DELTA = 1e-5
SPACE = dp.atom_domain(T=float, nan=False), dp.absolute_distance(T=float)

laplace = dp.m.make_laplace(*SPACE, scale=1.0)
gaussian = dp.m.make_gaussian(*SPACE, scale=1.0)
approximate = dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(gaussian), DELTA)


def case(name: str, measurement, stated: float, delta: float, what: str, **closed) -> Case:
    return Case(
        name,
        lambda x: [measurement(float(x[0]))],
        np.zeros(1),
        np.ones(1),
        stated,
        delta,
        what,
        "any, at distance 1",
        20_000,
        honest=True,
        **closed,
    )


CASES = [
    case("make_laplace", laplace, laplace.map(1.0), 0.0, "scale 1", pure=1.0),
    case("make_gaussian", gaussian, approximate.map(1.0)[0], DELTA, "scale 1; its zCDP brought to delta 1e-5", mu=1.0),
]
