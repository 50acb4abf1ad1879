"""The conformance suites of observations and reconstructions pass what keeps its promises and tell a planted fault."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy import catalog
from fedprivacy.adversary.threat import View
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.study.conformance import observation, reconstruction
from fedprivacy.study.conformance.check import SETTINGS
from fedprivacy.study.conformance.checked import Checked, looked
from fedprivacy.study.conformance.observation import Watched
from fedprivacy.study.conformance.tried import tried_observation

HONEST = catalog.observation("uploaded-weights")


@pytest.fixture(scope="module")
def watched() -> tuple[Watched, ...]:
    """Federations of each kind, as their server saw them."""
    return tried_observation(HONEST, build(RunConfig, dict(SETTINGS), "test"))


class Changed:
    """An honest observation whose answer is changed."""

    name = "changed"

    def __init__(self, change: Callable[[Observed], Observed], always: bool = False) -> None:
        self.change, self.always, self.last = change, always, Observed(*(np.empty(0),) * 3)

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        if not (self.always and not view.transcripts[0].messages):
            self.last = HONEST.observe(view, knowledge)
        return self.change(self.last)


def checked(made: Any, watched: tuple[Watched, ...]) -> list[Checked]:
    return list(looked(observation.looks(made, watched)))


def test_an_honest_observation_keeps_all(watched: tuple[Watched, ...]) -> None:
    rows = checked(HONEST, watched)
    assert [row.outcome for row in rows] == ["kept"] * 5, rows
    assert "weights" in rows[0].words and "predictions" not in rows[0].words


def swapped(one: Observed) -> Observed:
    """Every candidate's log-probabilities in the order of rising loss."""
    return replace(one, logp=np.log1p(-np.exp(np.minimum(one.logp, -1e-9))) - math.log(one.logp.shape[-1] - 1))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Changed(swapped), "wrong sign"),
        (Changed(lambda one: replace(one, logp=one.logp - 1)), "do not sum to one"),
        (Changed(lambda one: replace(one, logp=one.logp[:, :, :5])), "it gives"),
        (Changed(lambda one: replace(one, seen=one.seen * 1.0)), "seen and clean are not bool"),
        (Changed(lambda one: replace(one, logp=one.logp * np.nan)), "it tells of no candidate"),
        (Changed(lambda one: one, always=True), "without any message it tells of"),
    ],
)
def test_a_planted_fault_of_an_observation_is_told(made: Changed, words: str, watched: tuple[Watched, ...]) -> None:
    last = checked(made, watched)[-1]
    assert last.outcome == "broken" and words in last.words, last


def exact(
    model: Any, parameters: Any, observed: Any, knowledge: Any, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """A row of the first layer's gradient over its bias's is the record (Phong et al. 2017)."""
    found = []
    for one in observed:
        row = int(one["1.bias"].abs().argmax())
        found.append((one["1.weight"][row] / one["1.bias"][row]).reshape(1, *knowledge.input_shape))
    return torch.stack(found)


def test_reading_the_first_layer_keeps_all() -> None:
    rows = list(looked(reconstruction.looks(exact)))
    assert [row.outcome for row in rows] == ["kept"] * 4, rows


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda *given: torch.full((4, 1, 1, 8, 8), 0.5), "no nearer to their record"),
        (lambda *given: torch.zeros(4, 8, 8), "images are"),
        (lambda *given: exact(*given) * 5, "pixels lie in"),
        (lambda *given: exact(*given) + 0.1 * torch.rand(()), "draw from it alone"),
        (lambda *given: torch.full((4, 1, 1, 8, 8), torch.nan), "not finite"),
        (lambda *given: None, "returned a NoneType"),
    ],
)
def test_a_planted_fault_of_a_reconstruction_is_told(made: Callable[..., Any], words: str) -> None:
    last = list(looked(reconstruction.looks(made)))[-1]
    assert last.outcome == "broken" and words in last.words, last
