"""Rows that fire on one record: against an explicit inverse, alone on real digits, bounded, and loud heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.attacks.membership.traps.layer import TrapLayer
from fedprivacy.attacks.membership.traps.model import LOUD, TrapForge, loud
from fedprivacy.attacks.membership.traps.reading import Moved, moved, standardised, waiting
from fedprivacy.attacks.membership.traps.rows import LARGEST, MARGIN, RIDGE, Discriminants, Whitening
from fedprivacy.config.run import DataConfig
from fedprivacy.data.sources import load
from fedprivacy.metrics.roc import auc
from fedprivacy.models.mlp import Mlp
from fedprivacy.training.low_rank import compress
from fedprivacy.wire.payload import Predictions, Update, Weights


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40), (12, 12)])
def test_whitening_is_the_explicit_inverse_on_either_side(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    known, targets = rng.normal(size=(n, d)), rng.normal(size=(3, d))
    expected = targets @ np.linalg.inv(np.eye(d) + known.T @ known / n)
    found = Whitening(torch.from_numpy(known))(torch.from_numpy(targets))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_row_is_fishers_discriminant_halfway_between_its_record_and_the_next(dropout: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 9)) + 0.5
    laid = Discriminants(torch.from_numpy(x), torch.arange(50), dropout).rows(torch.tensor([3, 55]))
    known = x[:50]
    noise = dropout / (1 - dropout) * np.diag((known**2).mean(axis=0))
    covariance = np.cov(known.T, bias=True) + RIDGE * known.var(axis=0).mean() * np.eye(9) + noise
    for place, own in enumerate([3, 55]):
        direction = np.linalg.solve(covariance, x[own] - known.mean(axis=0))
        row = laid.weight[place].double().numpy()
        np.testing.assert_allclose(row / np.linalg.norm(row), direction / np.linalg.norm(direction), atol=1e-6)
        responses = x @ row + float(laid.bias[place])
        others = np.delete(responses, own)
        assert responses[own] == pytest.approx(-others.max(), rel=1e-4)
        largest = max(np.abs(row).max(), abs(float(laid.bias[place])))
        assert largest <= LARGEST * (1 + 1e-6)
        assert responses[own] == pytest.approx(MARGIN, rel=1e-4) or largest == pytest.approx(LARGEST)


def test_every_row_fires_on_its_digit_alone_and_is_found_again() -> None:
    images = torch.from_numpy(load(DataConfig()).x_train[:400]).flatten(1).float() / 255
    own = torch.arange(0, 400, 4)
    laid = Discriminants(images, torch.arange(400)).rows(own)
    responses = images @ laid.weight.T + laid.bias
    fires = responses > 0
    assert fires.sum(dim=0).eq(1).all() and fires[own, torch.arange(100)].all()
    assert max(float(laid.weight.abs().max()), float(laid.bias.abs().max())) <= LARGEST * (1 + 1e-6)
    rows, records = waiting(torch.cat([responses, images[:, 300:330] - 0.5], dim=1))
    assert rows.tolist() == list(range(100)) and records.tolist() == own.tolist()


def test_a_copy_among_the_others_fires_too_and_is_no_question() -> None:
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    x[7] = x[3]
    laid = Discriminants(x, torch.arange(30)).rows(torch.tensor([3, 4]))
    responses = x @ laid.weight.T + laid.bias
    assert responses[3, 0] == pytest.approx(float(responses[7, 0]), rel=1e-4)
    rows, records = waiting(responses)
    assert (rows.tolist(), records.tolist()) == ([1], [4])


@given(st.integers(2, 12), st.integers(1, 8))
def test_a_loud_head_is_sure_and_wrong(classes: int, rows: int) -> None:
    labels = np.arange(rows) % classes
    weights = loud(labels, classes)
    assert weights.argmin(dim=0).tolist() == labels.tolist()
    assert weights.sum(dim=0).abs().max() <= 1e-5 and weights.min() == -LOUD
    assert loud(np.array([0, 1]), 1).tolist() == [[LOUD, -LOUD]]


def test_whatever_models_travel_as_is_forged_and_nothing_else() -> None:
    before = {"a": torch.zeros(6, 6), "b": torch.zeros(2)}
    model = {"a": torch.randn(6, 6, generator=torch.Generator().manual_seed(2)), "b": torch.ones(2)}
    forge = TrapForge({"mlp": model}, lambda client: "mlp", {"mlp": before})
    group = forge(Weights({"b": torch.full((2,), 9.0), "c": torch.zeros(1)}), ["client-1"])
    assert isinstance(group, Weights) and group.tensors["b"] is model["b"] and group.tensors["c"].item() == 0
    first = forge(compress({"a": torch.eye(6), "b": torch.ones(2)}, 0.5), ["client-0", "client-1"])
    assert isinstance(first, Update) and torch.equal(before["a"] + first.tensors["a"], model["a"])
    again = forge(Update({"a": torch.eye(6)}), ["client-0"])
    assert isinstance(again, Update) and not again.tensors["a"].any(), "clients have the forged model already"
    said = Predictions(torch.zeros(1, 2), "logits")
    assert forge(said, ["client-0"]) is said


@pytest.mark.parametrize("better", [0, 1])
def test_signals_are_told_in_deviations_of_rows_that_nobody_trained_on(better: int) -> None:
    """Two clients that hold every other one of 200 candidates: members stand out, others do not.

    One of two readings is drowned in what the optimiser carries; it is left out, though its values are larger.
    """
    rng = np.random.default_rng(5)
    records, decoys = np.arange(240), np.arange(240) >= 200
    holds = np.where(np.arange(240) % 2 == 0, 0, 1)
    read = []
    for client in range(2):
        values = rng.normal(0.3, 0.1, 240) + 2.0 * ((holds == client) & ~decoys)
        drowned = 10 * values + rng.normal(0, 40.0, 240)
        both = np.stack([values, drowned] if better == 0 else [drowned, values], axis=1)
        read.append(Moved(0, 2, client, records, both, decoys, 1e-9))
    for one in standardised(read):
        own = (holds == one.client) & ~decoys
        assert 15 < np.median(one.values[own]) < 30
        assert abs(np.median(one.values[~own])) < 1 and 0.6 < one.values[~own].std() < 1.6


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e-4, 1e3)])
def test_two_readings_tell_more_than_the_better_one(scales: tuple[float, float]) -> None:
    """Both show a member by two standard deviations, in units of their own: together by the root of two more."""
    rng = np.random.default_rng(5)
    records, holds = np.arange(900), np.repeat(np.arange(-1, 2), 300)
    decoys = np.zeros(900, dtype=bool)
    noise = rng.normal(size=(2, 900, 2))
    read = [
        Moved(0, 2, client, records, (noise[client] + 2.0 * (holds == client)[:, None]) * scales, decoys, 1e-12)
        for client in (0, 1)
    ]
    for one in standardised(read):
        own = holds == one.client
        alone = [auc(read[one.client or 0].values[own, way], read[one.client or 0].values[~own, way]) for way in (0, 1)]
        assert auc(one.values[own], one.values[~own]) > max(alone) + 0.02
        assert max(alone) < 0.95


def test_training_on_another_record_moves_a_row_along_the_second_reading_by_less_than_its_own() -> None:
    """One step of plain descent on one record, of every row: its own answers in both readings, others in the first."""
    module = Mlp((1, 28, 28), 10)
    images = load(DataConfig()).x_train[:300]
    inputs = torch.from_numpy(images).flatten(1).float() / 255
    laid = Discriminants(inputs, torch.arange(300)).rows(torch.arange(20))
    before = {name: t.clone() for name, t in module.state_dict().items()}
    before["hidden.weight"][:20], before["hidden.bias"][:20] = laid.weight, laid.bias
    before["head.weight"][:, :20] = loud(load(DataConfig()).y_train[:20], 10)
    module.load_state_dict(before)
    layer = TrapLayer("hidden", 256, 0.0, True)
    for trained, low, high in ((slice(0, 20), 0.999, 1.001), (slice(200, 220), -0.2, 0.2)):
        after = dict(before)
        step = torch.zeros(256, 784)
        step[:20] = inputs[trained]
        after["hidden.weight"] = before["hidden.weight"] - 1e-2 * step
        after["hidden.bias"] = before["hidden.bias"] - 1e-2 * (torch.arange(256) < 20)
        places, values, _ = moved(module, layer, inputs, before, after, images, load(DataConfig()).y_train[:300])
        assert places.tolist() == list(range(20))
        size = 1e-2 * (inputs[:20].square().sum(dim=1) + 1).sqrt().numpy()
        if low > 0:
            np.testing.assert_allclose(values[:, 0] / size, 1.0, rtol=1e-3)
        else:
            assert np.median(values[:, 0] / size) > 0.3
        assert ((values[:, 1] / size > low) & (values[:, 1] / size < high)).all()
