"""``fedprivacy.audit`` of a function: what it finds, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import fedprivacy
from fedprivacy.config.base import UsageError

ZERO, ONE = np.zeros(1), np.ones(1)


def laplace():
    """A mechanism of epsilon 1 at distance 1."""
    rng = np.random.default_rng(0)

    def noised(x):
        return x + rng.laplace(size=x.shape)

    return noised


@pytest.mark.parametrize("early", [False, True])
def test_a_false_claim_on_a_function_is_refuted_and_a_true_one_is_not(early) -> None:
    false = fedprivacy.audit(laplace(), epsilon=0.3, neighbours=(ZERO, ONE), calls=4000, stop_early=early)
    assert false.refuted and false.mechanism == "noised" and 0.3 <= false.low < 1
    assert (false.calls < 4000) == early
    true = fedprivacy.audit(laplace(), epsilon=1, neighbours=(ZERO, ONE), calls=2000, stop_early=early)
    assert not true.refuted and true.calls == 2000


def test_the_worst_pair_is_looked_for_where_only_a_sensitivity_is_known() -> None:
    found = fedprivacy.audit(laplace(), epsilon=1, delta=0, sensitivity=2, shape=(4,), norm="l1", calls=6000)
    assert found.refuted and found.inputs.startswith("one coordinate")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("say what is claimed", {"neighbours": (ZERO, ONE)}),
        ("one of the two", {"epsilon": 1}),
        ("one of the two", {"epsilon": 1, "neighbours": (ZERO, ONE), "sensitivity": 1}),
        ("Did you mean 'neighbours'", {"epsilon": 1, "neighbors": (ZERO, ONE)}),
        ("out would do nothing", {"epsilon": 1, "neighbours": (ZERO, ONE), "out": "there"}),
        ("two inputs, not 3", {"epsilon": 1, "neighbours": (ZERO, ONE, ONE)}),
        ("finite number above 0", {"epsilon": -1, "neighbours": (ZERO, ONE)}),
        ("at least 0 and below 1", {"epsilon": 1, "delta": 1, "neighbours": (ZERO, ONE)}),
        ("one of l1, l2, linf", {"epsilon": 1, "sensitivity": 1, "norm": "l3"}),
        ("every size is at least 1", {"epsilon": 1, "sensitivity": 1, "shape": ()}),
        ("above 0 and below 1", {"epsilon": 1, "sensitivity": 1, "level": 1.0}),
    ],
)
def test_what_cannot_be_audited_is_one_line(words, given) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        fedprivacy.audit(laplace(), **given)
    assert "\n" not in str(caught.value)
