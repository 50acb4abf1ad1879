"""Events are values: they go to JSON and back, and refuse parameters that mean nothing."""

from __future__ import annotations

import json

import pytest

from fedprivacy.privacy import (
    MECHANISMS,
    Gaussian,
    GaussianHistogramVote,
    Laplace,
    Mechanism,
    NoNoise,
    PoissonSampledGaussian,
    PostProcessing,
    PrivacyEvent,
    RandomizedResponse,
    SubsampleWithoutNoise,
    event_from_json,
    event_to_json,
    settled,
)

EXAMPLES: list[Mechanism] = [
    NoNoise(),
    PostProcessing(),
    Gaussian(2.5),
    Laplace(0.5),
    RandomizedResponse(1.0, 10, 53),
    PoissonSampledGaussian(1.1, 0.25, 40),
    GaussianHistogramVote(20.0, 53),
    SubsampleWithoutNoise(300, 120, True),
]


def test_every_mechanism_has_an_example() -> None:
    assert {type(m) for m in EXAMPLES} == set(MECHANISMS.values())


@pytest.mark.parametrize("mechanism", EXAMPLES, ids=repr)
def test_json_and_back(mechanism: Mechanism) -> None:
    event = PrivacyEvent(3, 2, "predictions", mechanism, "client", "replace-one", 1, "receivers")
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_events_of_older_checkpoints_are_read() -> None:
    stored = {
        "client": 1,
        "round": 2,
        "release": "weights",
        "mechanism": {"name": "NoNoise"},
        "unit": "record",
        "relation": "add-remove",
    }
    assert event_from_json(stored) == PrivacyEvent(1, 2, "weights", NoNoise())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Gaussian(0.0),
        lambda: Gaussian(float("inf")),
        lambda: Laplace(-1.0),
        lambda: RandomizedResponse(1.0, 1),
        lambda: RandomizedResponse(1.0, 2, 0),
        lambda: PoissonSampledGaussian(1.0, 0.0, 5),
        lambda: PoissonSampledGaussian(1.0, 1.5, 5),
        lambda: PoissonSampledGaussian(1.0, 0.5, 0),
        lambda: GaussianHistogramVote(1.0, 0),
        lambda: SubsampleWithoutNoise(10, 11),
    ],
)
def test_parameters_that_mean_nothing_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|records"):
        wrong()  # type: ignore[operator]


def test_settled_replaces_what_is_paid_for_and_keeps_the_rest() -> None:
    raw = [PrivacyEvent(c, t, what, NoNoise()) for c in (0, 1) for t in (1, 2) for what in ("predictions", "n_k")]
    paid = [PrivacyEvent(0, t, "predictions", Gaussian(5.0)) for t in (1, 2)]
    found = settled(raw, paid)
    assert [e for e in found if e.client == 0 and e.release == "predictions"] == paid
    assert sum(isinstance(e.mechanism, NoNoise) for e in found) == 6
    assert settled(raw, ()) == tuple(raw)
