"""Masks cancel exactly in the sum, hide every summand, and survive lost messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.defenses import masks
from fedprivacy.defenses.secure_aggregation import SecureAggregation
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import decode, encode
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions, Scalars, Weights
from fedprivacy.wire.payloads import Masked, RevealedSeeds
from fedprivacy.wire.transcript import MemoryStore

UNIFORM = {"weighting": "uniform"}


def pair_seeds(party: int, parties: int) -> dict[int, int]:
    return {v: seeds.value(0, "pair", min(party, v), max(party, v)) for v in range(parties) if v != party}


@given(
    parties=st.integers(2, 7),
    length=st.integers(1, 40),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_masks_cancel_exactly_with_any_messages_lost(parties: int, length: int, seed: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(0, parties - 1), max_size=parties - 1))
    draw = np.random.default_rng(seed)
    values = {u: draw.integers(0, 2**32, length, dtype=np.uint32) for u in range(parties)}
    own = {u: seeds.value(seed, "own", u) for u in range(parties)}
    sent = {u: values[u] + masks.mask(u, own[u], pair_seeds(u, parties), length) for u in values if u not in lost}
    total = masks.opened(sent, own, {v: pair_seeds(v, parties) for v in lost})
    expected = sum((values[u].astype(np.uint64) for u in sent), np.zeros(length, np.uint64)) % 2**32
    assert (total == expected.astype(np.uint32)).all()


@given(largest=st.floats(1e-3, 1e6), parties=st.integers(1, 1000))
def test_the_largest_sum_fits(largest: float, parties: int) -> None:
    scale = masks.steps_per_unit(largest, parties)
    assert parties * (np.rint(largest * scale) + 1) < 2**31 + parties
    assert parties * largest * scale * 2.01 > 2**30


@given(values=st.lists(st.floats(-16, 16, width=32), min_size=1, max_size=20))
def test_fixed_point_numbers_go_there_and_back(values: list[float]) -> None:
    scale = masks.steps_per_unit(16.0, 5)
    words = masks.to_words({"b": torch.tensor(values), "a": torch.zeros(2)}, scale)
    found = masks.from_words(words, scale)
    assert np.abs(found - np.array([0.0, 0.0, *values])).max() <= 0.5 / scale
    shapes = {"b": torch.Size([len(values)]), "a": torch.Size([2])}
    assert (masks.of_tensors(dict(reversed(masks.to_tensors(words, shapes).items()))) == words).all()


def federation(parties: int = 5, **settings: float) -> SecureAggregation:
    return SecureAggregation(0, {1: tuple(range(parties))}, settings.get("range", 16.0), settings.get("threshold", 0.5))


def models(parties: int = 5) -> dict[str, Weights]:
    return {
        f"client-{k}": Weights(
            {"w": torch.randn(40, 50, generator=seeds.generator(k, "w")), "a": torch.full((3,), k / 7)}
        )
        for k in range(parties)
    }


def test_the_server_recovers_the_mean_to_the_last_step() -> None:
    channel = Channel(1, MemoryStore(), federation())
    sent = {name: channel.send(name, SERVER, model) for name, model in models().items()}
    found = channel.combined(sent, lambda: pytest.fail("the server's own mean"))
    assert isinstance(found, Weights)
    scale = masks.steps_per_unit(16.0, 5)
    for name in ("w", "a"):
        words = [np.rint(m.tensors[name].double().numpy() * scale) for m in models().values()]
        assert np.array_equal(found.tensors[name].numpy(), (np.sum(words, axis=0) / scale / 5).astype(np.float32))


def test_every_message_looks_like_noise() -> None:
    """What the server receives is uniform modulo 2^32 and tells nothing of the value, nor of another message."""
    channel = Channel(1, MemoryStore(), federation())
    sent = [channel.send(name, SERVER, model) for name, model in models().items()]
    assert {m.kind for m in channel.messages} == {"masked"}
    words = [masks.of_tensors(decode(encode(m)).tensors) for m in sent]  # type: ignore[attr-defined]
    for masked, model in zip(words, models().values(), strict=True):
        assert stats.kstest(masked / 2.0**32, "uniform").pvalue > 1e-4
        plain = np.concatenate([model.tensors[n].numpy().ravel() for n in sorted(model.tensors)])
        assert abs(np.corrcoef(masked, plain)[0, 1]) < 5 / np.sqrt(len(plain))
    assert np.abs(np.corrcoef(words) - np.eye(5)).max() < 5 / np.sqrt(len(words[0]))


@pytest.mark.parametrize("gone", [(0,), (4,), (1, 3)])
def test_lost_messages_are_left_out_of_the_mean(gone: tuple[int, ...]) -> None:
    channel = Channel(1, MemoryStore(), federation())
    here = {name: model for k, (name, model) in enumerate(models().items()) if k not in gone}
    sent = {name: channel.send(name, SERVER, model) for name, model in here.items()}
    found = channel.combined(sent, lambda: Weights({})).tensors["w"]
    expected = torch.stack([model.tensors["w"] for model in here.values()]).mean(dim=0)
    assert torch.allclose(found, expected, atol=2 / masks.steps_per_unit(16.0, 5))
    told = [m for m in channel.messages if m.kind == "revealed-seeds"]
    assert [m.sender for m in told] == list(here)


def test_a_message_that_comes_too_late_stays_masked() -> None:
    """The server knows all pair seeds of a lost client by then, but not its own."""
    defense = federation()
    channel = Channel(1, MemoryStore(), defense)
    late = defense.outgoing(models()["client-2"], "client-2", 1)
    assert isinstance(late, Masked)
    sent = {name: channel.send(name, SERVER, model) for name, model in models().items() if name != "client-2"}
    channel.combined(sent, lambda: Weights({}))
    pairs: dict[int, int] = {}
    for message in channel.messages:
        payload = decode(channel._store.get(message.digest))
        if isinstance(payload, RevealedSeeds):
            assert payload.lost.tolist() == [2]
            pairs[int(message.sender.removeprefix("client-"))] = int(payload.shared[0])
    words = masks.of_tensors(late.tensors)
    known = masks.mask(2, 0, pairs, len(words)) - masks.expanded(0, len(words))
    rest = words - known
    assert stats.kstest(rest / 2.0**32, "uniform").pvalue > 1e-4


def test_too_few_messages_are_not_opened() -> None:
    for number, threshold in ((2, 0.8), (1, 0.1)):
        channel = Channel(1, MemoryStore(), federation(threshold=threshold))
        sent = {name: channel.send(name, SERVER, model) for name, model in list(models().items())[:number]}
        with pytest.raises(UsageError, match="needed to open"):
            channel.combined(sent, lambda: Weights({}))


def test_values_out_of_range_and_other_payloads_are_refused() -> None:
    defense = federation(range=0.5)
    with pytest.raises(UsageError, match=r"options\.range"):
        defense.outgoing(Weights({"w": torch.tensor([0.7])}), "client-0", 1)
    with pytest.raises(UsageError, match=r"options\.range"):
        defense.outgoing(Weights({"w": torch.tensor([torch.nan])}), "client-0", 1)
    for payload in (Scalars({"n": torch.tensor(3)}), Weights({"n": torch.tensor(3)})):
        with pytest.raises(TypeError, match="cannot be masked"):
            defense.outgoing(payload, "client-0", 1)


def test_rounds_and_kinds_never_share_masks() -> None:
    defense = SecureAggregation(0, {1: (0, 1), 2: (0, 1)}, 16.0, 0.5)
    zeros = torch.zeros(500)
    payloads = [
        (Weights({"values": zeros}), 1),
        (Weights({"values": zeros}), 2),
        (Predictions(zeros[:, None], "logits"), 1),
    ]
    words = [masks.of_tensors(defense.outgoing(p, "client-0", t).tensors) for p, t in payloads]  # type: ignore[attr-defined]
    assert np.abs(np.corrcoef(words) - np.eye(3)).max() < 5 / np.sqrt(500)


@pytest.mark.parametrize("more", [{}, {"dropout_rate": 0.3, "clients": 6}, {"participation": 0.7}])
def test_a_federation_ends_where_it_would_without_masks(
    guarded: Callable[..., Any], tmp_path: Any, more: dict[str, Any]
) -> None:
    plain = guarded("fedavg", UNIFORM, {}, **more).run(tmp_path / "plain").state.parts["server/model"]
    masked = guarded("fedavg", UNIFORM, {"name": "secure-aggregation"}, **more).run(tmp_path / "masked")
    for name, tensor in masked.state.parts["server/model"].items():
        assert torch.allclose(tensor, plain[name], atol=1e-4)
    assert not any(m.kind == "weights" and m.receiver == SERVER for m in masked.transcript.messages)


@pytest.mark.parametrize(
    ("protocol", "options"), [("ds-fl", {}), ("fedmd", {}), ("mutual", {"peer_mode": "mean", "payload": "logits"})]
)
def test_predictions_can_be_summed_too(
    guarded: Callable[..., Any], tmp_path: Any, protocol: str, options: dict[str, Any]
) -> None:
    done = guarded(protocol, options, {"name": "secure-aggregation", "options": {"range": 64.0}}).run(tmp_path)
    assert {m.kind for m in done.transcript.messages if m.receiver == SERVER} == {"masked", "revealed-seeds"}


@pytest.mark.parametrize(
    ("protocol", "options", "more", "words"),
    [
        ("fedavg", {}, {}, "weighting = 'uniform'"),
        ("mutual", {}, {}, "peer_mode = 'mean'"),
        ("fedproto", {}, {}, "masks weights"),
        ("fedavg", UNIFORM, {"clients": 2, "participation": 0.5}, "nobody to hide among"),
    ],
)
def test_mismatches_are_told_before_training(
    guarded: Callable[..., Any], protocol: str, options: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        guarded(protocol, options, {"name": "secure-aggregation"}, **more)


def test_every_round_kind_and_pair_has_a_seed_of_its_own() -> None:
    """Own seeds are revealed at the end of a round, so the pair seeds alone must hide the next one."""
    defense = federation()
    places = [(round, kind) for round in (1, 2) for kind in ("weights", "predictions")]
    pairs = {defense._pair(*place, u, v) for place in places for u in range(4) for v in range(u + 1, 4)}
    own = {defense._own(*place, u) for place in places for u in range(4)}
    assert len(pairs) == 4 * 6
    assert len(own) == 4 * 4
    assert not pairs & own
    assert defense._pair(1, "weights", 2, 3) == defense._pair(1, "weights", 3, 2)
