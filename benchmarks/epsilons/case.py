"""One mechanism of a public package under one claim, as a driver gives it; needs nothing but numpy.

Run in the environment of the package: `python case.py drivers/NAME.py` lists its cases as JSON, and
`python case.py drivers/NAME.py NUMBER OUT.npz` calls one of them and writes what came out, [calls, d] for each input.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """``mechanism`` is called ``calls`` times, half on ``first`` and half on ``second``, and claims ``stated``.

    ``mu``, ``pure`` or ``known``: the closed form, as a Gaussian shift over deviation, as a pure epsilon, or as an
    epsilon at ``delta``; none of them: nothing is hidden, or no formula is known. ``honest``: a control, of which the
    closed form says that the claim holds. ``what``: what the package calls epsilon, and how it was set. ``means``: the
    unit and relation of the two inputs.
    """

    name: str
    mechanism: Callable[[Any], Any]
    first: Any
    second: Any
    stated: float
    delta: float
    what: str
    means: str
    calls: int = 100_000
    mu: float | None = None
    pure: float | None = None
    known: float | None = None
    honest: bool = False

    def told(self) -> dict[str, Any]:
        """All but the code, as JSON values."""
        left_out = ("mechanism", "first", "second")
        return {name: value for name, value in vars(self).items() if name not in left_out}


def each_entry(noised: Callable[[np.ndarray], Any], size: int = 10_000) -> Callable[[np.ndarray], np.ndarray]:
    """A mechanism on one number [1] from one that noises every entry of an array by a draw of its own."""
    left: dict[float, list[float]] = {}

    def one(given: np.ndarray) -> np.ndarray:
        value = float(given[0])
        if not left.get(value):
            left[value] = list(vector(noised(np.full(size, value))))
        return np.asarray([left[value].pop()])

    return one


def vector(output: Any) -> np.ndarray:
    """Any output as one vector of float64."""
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1) for part in np.atleast_1d(output)])


def called(case: Case) -> dict[str, np.ndarray]:
    """Outputs on both inputs, called in an order that is drawn."""
    order = np.random.default_rng().permutation(np.repeat([0, 1], case.calls // 2))
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for side in order:
        rows[side].append(vector(case.mechanism((case.first, case.second)[side])))
    return {"first": np.stack(rows[0]), "second": np.stack(rows[1])}


def cases(driver: Path) -> list[Case]:
    """Those of a driver."""
    sys.path.insert(0, str(Path(__file__).parent))
    spec = importlib.util.spec_from_file_location("driver", driver)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["driver"] = module
    spec.loader.exec_module(module)
    return list(module.CASES)


if __name__ == "__main__":
    found = cases(Path(sys.argv[1]))
    if len(sys.argv) == 2:
        sys.stdout.write("\n" + json.dumps([case.told() for case in found]) + "\n")
    else:
        np.savez_compressed(sys.argv[3], **called(found[int(sys.argv[2])]))
