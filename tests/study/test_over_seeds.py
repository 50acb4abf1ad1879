"""What one result says of several seeds: never what the first of them alone would say."""

from __future__ import annotations

from typing import Any

import pytest

from fedprivacy.privacy import Gaussian, NoNoise, PrivacyEvent
from fedprivacy.privacy.events import event_to_json
from fedprivacy.study.assembled import _claim
from fedprivacy.study.seed_notes import of_seeds


def test_notes_of_one_seed_are_marked_as_its_own() -> None:
    same, first, second = "default grade", "carried by round 1 (60%)", "carried by round 3 (50%)"
    assert of_seeds([(same, first), (same, first)]) == (same, first)
    assert of_seeds([(same, first), (second, same)]) == (same, f"in seed 1 of 2: {first}")
    assert of_seeds([(same,), (same, second)]) == (same, f"in seed 2 of 2: {second}")
    assert of_seeds([(same, first)]) == (same, first)
    assert of_seeds([]) == of_seeds([(), ()]) == ()


def summary(sends: int, multiplier: float = 2.0) -> dict[str, Any]:
    """A run in which one client sent so many noised messages, and one of them without noise at 0."""
    noise = Gaussian(multiplier) if multiplier else NoNoise()
    events = [PrivacyEvent(0, round, "predictions", noise) for round in range(1, sends + 1)]
    return {"events": [event_to_json(event) for event in events], "records": 100}


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_claim_over_seeds_is_that_of_the_seed_which_costs_most(places: tuple[int, ...]) -> None:
    """Where seeds draw who takes part, one client may send more often in one of them."""
    made = [summary(2), summary(5), summary(3)]
    worst = _claim(1e-5, [made[1]])
    assert worst.releases == 5 and _claim(1e-5, [made[place] for place in places]) == worst
    assert (worst.epsilon or 0.0) > (_claim(1e-5, [made[0]]).epsilon or 0.0)
    assert _claim(1e-5, [*made, summary(1, multiplier=0.0)]).epsilon is None
