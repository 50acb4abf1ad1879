"""One client's training: seeds, steps, moments, batches, and a divergence that is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.training.learner import Diverged, Records, Workbench, as_input, normalised
from fedprivacy.training.passes import batches


def bench(**changes: object) -> Workbench:
    def made(name: str, seed: object) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # noqa: TID251 - a fixed tiny model
            return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))

    return Workbench(made, TrainingConfig().model_copy(update={"batch_size": 4, **changes}))


def records(n: int = 18) -> Records:
    rng = np.random.default_rng(3)
    return Records(rng.standard_normal((n, 6)).astype(np.float32), rng.integers(0, 3, n))


def weights_after(**fit: object) -> dict[str, torch.Tensor]:
    made = bench()
    learner = made.learner("tiny", made.initial("tiny", (0, ("a",))))
    learner.fit(records(), 2, (5, ("x",)), **fit)  # type: ignore[arg-type]
    return learner.weights()


def test_same_seed_same_bits_whatever_the_ambient_stream() -> None:
    one = weights_after()
    torch.rand(7)
    other = weights_after()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_exact_number_of_steps() -> None:
    made = bench(optimizer="adam")
    learner = made.learner("tiny", made.initial("tiny", (0, ("a",))))
    passes = learner.fit(records(), 99, (5, ("x",)), steps=7)
    assert len(passes) == 2
    assert {float(value) for name, value in learner.moments().items() if name.endswith("step")} == {7.0}


def test_steps_of_whole_passes_are_the_passes() -> None:
    by_steps, by_epochs = weights_after(steps=10), weights_after()
    assert all(torch.equal(by_steps[name], by_epochs[name]) for name in by_steps)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_moments_carry_over_bit_for_bit(optimizer: str) -> None:
    made = bench(optimizer=optimizer, momentum=0.9)
    start = made.initial("tiny", (0, ("a",)))
    whole = made.learner("tiny", start)
    whole.fit(records(), 1, (1, ("x",)))
    whole.fit(records(), 1, (2, ("x",)))
    expected = whole.weights()
    first = made.learner("tiny", start)
    first.fit(records(), 1, (1, ("x",)))
    second = made.learner("tiny", first.weights(), first.moments())
    second.fit(records(), 1, (2, ("x",)))
    assert all(torch.equal(expected[name], value) for name, value in second.weights().items())


def test_a_renewed_optimiser_forgets() -> None:
    made = bench()
    learner = made.learner("tiny", made.initial("tiny", (0, ("a",))))
    learner.fit(records(), 1, (1, ("x",)))
    learner.renew_optimizer()
    assert learner.moments() == {}


def test_inference_has_no_dropout_and_changes_nothing() -> None:
    made = bench()
    start = made.initial("tiny", (0, ("a",)))
    x = records().x
    assert torch.equal(made.logits("tiny", start, x), made.logits("tiny", start, x))


def test_divergence_is_an_error() -> None:
    made = bench(optimizer="sgd", lr=1e30)
    learner = made.learner("tiny", made.initial("tiny", (0, ("a",))))
    with pytest.raises(Diverged):
        learner.fit(records(), 3, (1, ("x",)))


@given(st.integers(1, 200), st.integers(1, 40), st.booleans())
def test_batches_cover_every_record_once(number: int, size: int, even: bool) -> None:
    parts = batches(number, size, even)
    covered = [i for part in parts for i in range(part.start, part.stop)]
    assert covered == list(range(number))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= size
    assert len(parts) == -(-number // size)
    assert not even or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("room", [2**22, 8])
def test_records_made_ready_once_are_answered_to_the_bit(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedprivacy.training.learner.AT_ONCE", room)
    x = np.random.default_rng(0).integers(0, 256, (9, 1, 4, 4), dtype=np.uint8)
    bench = Workbench(lambda name, seed: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), TrainingConfig())
    weights = bench.module("").state_dict()
    assert as_input(x).dtype == (np.float32 if x.size <= room else np.uint8)
    torch.testing.assert_close(bench.logits("", weights, as_input(x)), bench.logits("", weights, x), rtol=0, atol=0)


def test_images_are_scaled_and_features_are_not() -> None:
    assert normalised(torch.tensor([255], dtype=torch.uint8)).item() == 1.0
    assert normalised(torch.tensor([2.5])).item() == 2.5
