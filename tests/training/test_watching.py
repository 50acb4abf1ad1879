"""Watching sees every step of one slot, and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.seeds import torch_scope
from fedprivacy.training.learner import Records, Workbench
from fedprivacy.training.watching import Path, Watching


def bench(**settings) -> Workbench:
    def made(name, seed):
        with torch_scope(0, "linear"):
            return nn.Linear(4, 3)

    return Workbench(made, TrainingConfig(batch_size=5, **settings))


@pytest.fixture
def records() -> Records:
    draw = np.random.default_rng(0)
    return Records(draw.normal(size=(20, 4)).astype(np.float32), draw.integers(0, 3, 20))


def test_training_is_the_same_and_its_path_is_seen(records):
    plain, path = bench(), Path(3)
    start = plain.initial("linear", (0, ("a",)))
    alone = plain.learner("linear", start)
    alone.fit(records, 3, (1, ("fit",)))
    watched = Watching(plain, "", path).learner("linear", start)
    watched.fit(records, 3, (1, ("fit",)))
    for name, tensor in alone.weights().items():
        torch.testing.assert_close(tensor, watched.weights()[name], rtol=0, atol=0)
    assert path.points == []
    path.close()
    # Twelve steps of four batches in three passes: the middles of three parts.
    assert len(path.points) == 3
    again = plain.learner("linear", start)
    again.fit(records, 1, (1, ("fit",)), steps=2)
    torch.testing.assert_close(path.points[0], again.weights(), rtol=0, atol=0)
    assert set(path.stretch) == {"weight", "bias"}
    assert (path.stretch["weight"] > 0).all()


def test_of_long_training_few_points_are_kept_evenly(records):
    path = Path(2)
    learner = Watching(bench(), "", path).learner("linear", bench().initial("linear", (0, ("a",))))
    learner.fit(records, 25, (1, ("fit",)))
    assert len(path._kept) <= 9
    path.close()
    assert len(path.points) == 2


def test_other_slots_are_not_seen_and_sgd_has_nothing_to_undo(records):
    path = Path(2)
    watching = Watching(bench(optimizer="sgd"), "meme", path)
    start = watching.initial("linear", (0, ("a",)))
    watching.learner("linear", start).fit(records, 1, (1, ("fit",)))
    path.close()
    assert path.points == []
    watching.learner("linear", start, slot="meme").fit(records, 1, (1, ("fit",)))
    path.close()
    assert len(path.points) == 2
    assert path.stretch == {}
