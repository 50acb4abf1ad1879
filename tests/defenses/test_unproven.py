"""Defenses without a proof: they do what they say, and their epsilon is infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.defenses.gradient_noise import GradientNoise
from fedprivacy.defenses.gradient_pruning import GradientPruning
from fedprivacy.defenses.label_only import LabelOnly
from fedprivacy.defenses.memguard import MemGuard
from fedprivacy.defenses.names import DEFENSES
from fedprivacy.defenses.quantise import Quantise, levels, packed
from fedprivacy.defenses.temperature import Temperature
from fedprivacy.defenses.top_k import TopK
from fedprivacy.privacy.accountant import claim
from fedprivacy.wire.codec import decode, encode, value_bytes
from fedprivacy.wire.payload import Predictions, Scalars, Update

UNPROVEN = [name for name, card in DEFENSES.items() if not card.proven]
FITTING: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient-pruning": ("fedavg", {}),
    "gradient-noise": ("fedavg", {}),
    "secure-aggregation": ("fedavg", {"weighting": "uniform"}),
}


def probabilities(rows: int = 30, columns: int = 10, seed: int = 0) -> Predictions:
    logits = 3 * torch.randn(rows, columns, generator=seeds.generator(seed, "logits"))
    values = torch.sigmoid(logits) if columns == 1 else torch.softmax(logits, dim=1)
    return Predictions(values, "probabilities")


def through(defense: Any, payload: Predictions) -> Predictions:
    """What the receiver works with."""
    found = decode(encode(defense.outgoing(payload, "client-0", 1)))
    assert isinstance(found, Predictions)
    return found


@pytest.mark.parametrize("name", UNPROVEN)
def test_epsilon_is_infinite(guarded: Callable[..., Any], tmp_path: Any, name: str) -> None:
    protocol, options = FITTING.get(name, ("mutual", {}))
    done = guarded(protocol, options, {"name": name}).run(tmp_path)
    assert claim(done.events, 1e-5).epsilon == math.inf


@given(rows=st.integers(1, 9), columns=st.integers(1, 7), bits=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 99))
def test_quantised_values_are_the_nearest_levels(rows: int, columns: int, bits: int, seed: int) -> None:
    payload = probabilities(rows, columns, seed)
    found = through(Quantise(bits), payload)
    assert found.form == "probabilities"
    assert found.values.shape == payload.values.shape
    assert float((found.values - payload.values).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
    assert torch.equal(through(Quantise(bits), found).values, found.values)
    size = value_bytes(encode(Quantise(bits).outgoing(payload, "client-0", 1)))
    assert size == -(-rows * columns * bits // 8)


def test_packing_is_lossless() -> None:
    codes = levels(torch.linspace(0, 1, 16), 4)
    assert codes.tolist() == list(range(16))
    assert packed(codes, 4).tolist() == [(2 * i + 1) * 16 + 2 * i for i in range(8)]


def test_top_k_keeps_the_largest_and_spreads_the_rest() -> None:
    payload = probabilities()
    found = through(TopK(3), payload)
    kept = payload.values.topk(3, dim=1)
    assert torch.allclose(found.values.gather(1, kept.indices), kept.values)
    assert torch.allclose(found.values.sum(dim=1), torch.ones(30), atol=1e-6)
    others = found.values.scatter(1, kept.indices, torch.nan)
    spread = (1 - kept.values.sum(dim=1)) / 7
    assert torch.allclose(torch.nanmean(others, dim=1), spread, atol=1e-6)
    assert value_bytes(encode(TopK(3).outgoing(payload, "client-0", 1))) == 30 * 3 * 5


def test_top_k_relayed_is_the_same() -> None:
    found = through(TopK(3), probabilities())
    again = decode(encode(TopK(3).relayed(found, 1)))
    assert torch.allclose(again.values, found.values, atol=1e-6)  # type: ignore[attr-defined]


def test_label_only_is_one_byte_a_record() -> None:
    payload = probabilities()
    found = through(LabelOnly(), payload)
    assert found.form == "labels"
    assert torch.equal(found.values[:, 0].long(), payload.values.argmax(dim=1))
    assert value_bytes(encode(found)) == 30


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("heat", [0.5, 1.0, 5.0])
def test_temperature_divides_the_logits(columns: int, heat: float) -> None:
    logits = 3 * torch.randn(20, columns, generator=seeds.generator(0, "logits"))
    soft = torch.sigmoid if columns == 1 else lambda z: torch.softmax(z, dim=1)
    found = through(Temperature(heat), Predictions(soft(logits), "probabilities"))
    assert torch.allclose(found.values, soft(logits / heat), atol=1e-5)
    assert torch.allclose(through(Temperature(heat), Predictions(logits, "logits")).values, logits / heat)


def test_temperature_survives_certain_predictions() -> None:
    found = through(Temperature(2.0), Predictions(torch.eye(3), "probabilities"))
    assert torch.isfinite(found.values).all()


@given(columns=st.integers(1, 8), distortion=st.floats(0, 2), seed=st.integers(0, 200))
def test_memguard_keeps_labels_order_and_its_budget(columns: int, distortion: float, seed: int) -> None:
    payload = probabilities(200, columns, seed)
    found = through(MemGuard(0, distortion), payload)
    if columns == 1:
        assert torch.equal(found.values >= 0.5, payload.values >= 0.5)
        assert float((2 * (found.values - payload.values).abs()).mean()) <= distortion + 0.2
        return
    assert torch.equal(found.values.argmax(dim=1), payload.values.argmax(dim=1))
    assert torch.allclose(found.values.sum(dim=1), torch.ones(200), atol=1e-5)
    distance = (found.values - payload.values).abs().sum(dim=1)
    assert float(distance.mean()) <= distortion + 0.2


def test_memguard_levels_the_confidence() -> None:
    payload = probabilities(200)
    found = through(MemGuard(0, 2.0), payload)
    assert float(found.values.amax(dim=1).max()) <= float(payload.values.amax(dim=1).median()) + 1e-6
    assert torch.equal(through(MemGuard(0, 0.0), payload).values, payload.values)


def test_pruning_keeps_the_largest_entries_of_all_tensors_together() -> None:
    update = Update({"a": torch.tensor([0.1, -5.0, 0.2]), "b": torch.tensor([[3.0, -0.3], [0.0, 4.0]])})
    found = GradientPruning(0.5).outgoing(update, "client-0", 1)
    assert found.tensors["a"].tolist() == pytest.approx([0.0, -5.0, 0.0])  # type: ignore[attr-defined]
    assert found.tensors["b"].flatten().tolist() == pytest.approx([3.0, -0.3, 0.0, 4.0])  # type: ignore[attr-defined]
    assert GradientPruning(0.0).outgoing(update, "client-0", 1) is update


@given(share=st.floats(0, 0.99), number=st.integers(1, 300))
def test_pruned_share(share: float, number: int) -> None:
    values = torch.randn(number, generator=seeds.generator(number, "values"))
    found = GradientPruning(share).outgoing_update(Update({"a": values}), "client-0", 1).tensors["a"]
    assert int((found == 0).sum()) == int(share * number)


def test_plain_noise_has_its_deviation_and_no_bound() -> None:
    update = Update({"a": torch.full((100, 200), 1e6, dtype=torch.float64)})
    found = GradientNoise(0, 0.25).outgoing_update(update, "client-0", 1).tensors["a"] - 1e6
    assert float(found.std()) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("defense", [Quantise(8), TopK(1), LabelOnly(), Temperature(2.0), MemGuard(0, 1.0)])
def test_other_payloads_pass_as_they_are(defense: Any) -> None:
    for payload in (Scalars({"records": torch.tensor(3)}), Predictions(torch.ones(2, 1), "losses")):
        assert defense.outgoing(payload, "client-0", 1) is payload


@pytest.mark.parametrize("name", ["quantise", "top-k", "label-only", "temperature", "memguard"])
def test_predictions_are_needed(guarded: Callable[..., Any], name: str) -> None:
    with pytest.raises(UsageError, match="alone"):
        guarded("fedavg", {}, {"name": name})
    with pytest.raises(UsageError, match="sends nothing"):
        guarded("local", {}, {"name": name})


@pytest.mark.parametrize("name", ["gradient-pruning", "gradient-noise"])
def test_updates_are_needed(guarded: Callable[..., Any], name: str) -> None:
    with pytest.raises(UsageError, match="updates alone"):
        guarded("mutual", {}, {"name": name})


def test_top_k_of_too_many(guarded: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="k must be below that"):
        guarded("mutual", {}, {"name": "top-k", "options": {"k": 10}})


def test_fewer_bits_are_fewer_bytes_in_both_directions(guarded: Callable[..., Any], tmp_path: Any) -> None:
    sizes = []
    for number, defense in enumerate(({}, {"name": "quantise"})):
        done = guarded("mutual", {}, defense).run(tmp_path / str(number))
        assert {m.kind for m in done.transcript.messages} == {"predictions"}
        sizes.append(np.array([m.payload_bytes for m in done.transcript.messages]))
    assert (sizes[0] == 4 * sizes[1]).all()


def test_nfdp_draws_once_and_prints_its_useless_delta(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("mutual", {}, {"name": "nfdp", "options": {"share": 0.5}})
    inside = made.defense.prepared(made.env)
    for mine, drawn in zip(made.env.members, inside.members, strict=True):
        assert set(drawn[0]) < set(mine[0])
        assert len(drawn[0]) == round(len(mine[0]) / 2 + 1e-9)
    assert all(
        (a[0] == b[0]).all() for a, b in zip(made.defense.prepared(made.env).members, inside.members, strict=True)
    )
    found = claim(made.run(tmp_path).events, 1e-5)
    assert found.epsilon == math.inf
    assert "vacuous" in found.why
    assert "delta 0.5" in found.why


def test_nfdp_with_replacement_and_a_number(guarded: Callable[..., Any]) -> None:
    made = guarded("mutual", {}, {"name": "nfdp", "options": {"k": 12, "replacement": True}})
    drawn = made.defense.prepared(made.env).members[0][0]
    assert len(drawn) == 12
    assert set(drawn) <= set(made.env.members[0][0])
    with pytest.raises(UsageError, match="more than the smallest"):
        guarded("mutual", {}, {"name": "nfdp", "options": {"k": 1000}})
