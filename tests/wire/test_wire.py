"""The wire: round trips of every payload, measured sizes, no shared memory, defenses on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import Tensor

from fedprivacy.wire import payloads
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import decode, encode, value_bytes
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import KINDS, Compact, Predictions, Scalars, Update, Weights, register
from fedprivacy.wire.transcript import MemoryStore, Transcript, directions

DTYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)

shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
names = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=12)
halves = st.integers(-8, 8)


@st.composite
def tensors(draw: st.DrawFn, shape: Any = shapes, dtypes: tuple[torch.dtype, ...] = DTYPES) -> Tensor:
    values = draw(arrays(np.int64, draw(shape), elements=halves))
    return torch.from_numpy(values).to(draw(st.sampled_from(dtypes)))


mappings = st.dictionaries(names, tensors(), max_size=4)
floats = tensors(dtypes=DTYPES[:1])
rows = st.tuples(st.integers(0, 5), st.integers(1, 4))


@st.composite
def low_rank(draw: st.DrawFn) -> payloads.LowRank:
    p, k, q = (draw(st.integers(1, 4)) for _ in range(3))
    fixed = [st.just(shape) for shape in ((p, k), (k,), (k, q))]
    left, sigma, right = (draw(tensors(shape, DTYPES[:1])) for shape in fixed)
    dense = draw(st.dictionaries(names.filter(lambda n: n != "conv"), floats, max_size=2))
    return payloads.LowRank({"conv": left}, {"conv": sigma}, {"conv": right}, dense, [["conv", [q, p]]])


@st.composite
def quantised(draw: st.DrawFn) -> payloads.QuantisedPredictions:
    bits, (number, columns) = draw(st.sampled_from([1, 2, 4, 8])), draw(rows)
    codes = draw(arrays(np.uint8, -(-number * columns * bits // 8)))
    return payloads.QuantisedPredictions(torch.from_numpy(codes), number, columns, bits)


@st.composite
def top(draw: st.DrawFn) -> payloads.TopPredictions:
    number, k, columns = draw(st.integers(0, 5)), draw(st.integers(1, 3)), draw(st.integers(4, 6))
    order = torch.from_numpy(draw(arrays(np.int64, (number, columns), elements=st.integers(0, 9)))).argsort(dim=1)
    values = draw(arrays(np.float32, (number, k), elements=st.floats(0, 1, width=32)))
    return payloads.TopPredictions(order[:, :k].to(torch.uint8).contiguous(), torch.from_numpy(values), columns)


PAYLOADS: dict[str, st.SearchStrategy[Any]] = {
    "predictions": st.builds(
        Predictions, tensors(rows), st.sampled_from(["probabilities", "logits", "losses", "labels"])
    ),
    "weights": st.builds(Weights, mappings),
    "update": st.builds(Update, mappings),
    "scalars": st.builds(Scalars, mappings),
    "low-rank": low_rank(),
    "prototypes": st.builds(payloads.Prototypes, tensors(rows), tensors(), tensors()),
    "coded-labels": st.builds(
        payloads.CodedLabels, tensors(dtypes=(torch.uint8,)), halves, halves, halves, st.booleans()
    ),
    "quantised-predictions": quantised(),
    "top-predictions": top(),
    "masked": st.builds(payloads.Masked, mappings, names, names),
    "revealed-seeds": st.builds(payloads.RevealedSeeds, tensors(), tensors(), tensors()),
}


def test_every_payload_kind_is_tested() -> None:
    own = {name for name, kind in KINDS.items() if kind.__module__.startswith("fedprivacy.")}
    assert set(PAYLOADS) == own


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    for field in dataclasses.fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, Tensor):
            assert same(one, other)
        elif isinstance(one, Mapping):
            assert set(one) == set(other)
            assert all(same(one[name], other[name]) for name in one)
        else:
            assert one == other


@pytest.mark.parametrize("kind", PAYLOADS)
@settings(max_examples=40)
@given(data=st.data())
def test_round_trip(kind: str, data: st.DataObject) -> None:
    payload = data.draw(PAYLOADS[kind])
    back = decode(encode(payload))
    assert_same(payload.opened() if isinstance(payload, Compact) else payload, back)


@pytest.mark.parametrize("kind", PAYLOADS)
@settings(max_examples=40)
@given(data=st.data())
def test_sizes_are_values_plus_the_documented_header(kind: str, data: st.DataObject) -> None:
    payload = data.draw(PAYLOADS[kind])
    encoded = encode(payload)
    contents = [getattr(payload, f.name) for f in dataclasses.fields(payload)]
    held = [
        t for c in contents for t in ([c] if isinstance(c, Tensor) else c.values() if isinstance(c, Mapping) else [])
    ]
    values = sum(t.numel() * t.element_size() for t in held)
    (length,) = struct.unpack("<Q", encoded[:8])
    header = json.loads(encoded[8 : 8 + length])
    assert value_bytes(encoded) == values
    assert len(encoded) == 8 + length + values
    assert json.loads(header.pop("__metadata__")["payload"])["kind"] == kind
    assert len(header) == len(held)
    assert all(set(entry) == {"dtype", "shape", "data_offsets"} for entry in header.values())


@given(mappings, st.randoms(use_true_random=False))
def test_the_order_of_a_mapping_changes_no_byte(content: dict[str, Tensor], order: Any) -> None:
    shuffled = list(content.items())
    order.shuffle(shuffled)
    data = encode(Weights(content))
    assert data == encode(Weights(dict(shuffled)))
    assert list(decode(data).tensors) == sorted(content)  # type: ignore[attr-defined]


def digest() -> str:
    """Digest and order of payloads with much to get into another order."""
    many = Weights({str(i): torch.full((2,), float(i)) for i in range(20)})
    told = Predictions(torch.ones(2, 3), "logits")
    data = encode(many) + b"".join(encode(told) for _ in range(30))
    back: Any = decode(encode(many))
    return hashlib.sha256(data).hexdigest() + ",".join(back.tensors)


def test_the_same_payload_gives_the_same_bytes_in_every_process() -> None:
    """safetensors keeps its metadata in a hash map whose order is drawn anew in each process."""
    source = "import hashlib, torch\nfrom fedprivacy.wire.codec import decode, encode\n"
    source += "from fedprivacy.wire.payload import *\n"
    source += "from typing import Any\n" + inspect.getsource(digest) + "print(digest())"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, check=True, text=True, env=environment
    )
    assert printed.stdout.strip() == digest()


@pytest.mark.parametrize(("n", "c"), [(1, 1), (53, 1), (64, 10), (0, 3)])
def test_predictions_weigh_four_bytes_a_value(n: int, c: int) -> None:
    data = encode(Predictions(torch.rand(n, c), "probabilities"))
    assert value_bytes(data) == n * c * 4


def test_a_label_weighs_one_byte_and_a_record_count_four() -> None:
    assert value_bytes(encode(Predictions(torch.zeros(53, 1, dtype=torch.uint8), "labels"))) == 53
    assert value_bytes(encode(Scalars({"records": torch.tensor(41, dtype=torch.int32)}))) == 4


def test_tied_transposed_and_sliced_tensors_travel() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    sent = {"tied": base, "again": base, "across": base.T, "part": base[1:], "overlapping": base[:2]}
    assert_same(Weights(sent), decode(encode(Weights(sent))))


def test_what_is_sent_carries_no_gradient() -> None:
    own = torch.ones(2, 3, requires_grad=True)
    received = decode(encode(Predictions(own * 2, "logits")))
    assert not received.values.requires_grad  # type: ignore[attr-defined]


def test_unknown_kinds_and_double_names_are_refused() -> None:
    data = encode(Weights({}))
    with pytest.raises(ValueError, match="unknown payload kind 'wrights'"):
        decode(data.replace(b"weights", b"wrights"))
    with pytest.raises(ValueError, match="two payload types are named 'weights'"):
        register(dataclasses.make_dataclass("Other", [("x", Tensor)], namespace={"kind": "weights"}))


def test_nothing_is_shared_by_reference() -> None:
    state = {"w": torch.zeros(3)}
    channel = Channel(1, MemoryStore())
    received = channel.send("client-0", SERVER, Weights(state))
    received.tensors["w"].fill_(7)
    again = Transcript(tuple(channel.messages), (), channel._store).payload(channel.messages[0])
    again.tensors["w"].add_(1)  # type: ignore[attr-defined]
    third = Transcript(tuple(channel.messages), (), channel._store).payload(channel.messages[0])
    assert state["w"].tolist() == [0, 0, 0]
    assert third.tensors["w"].tolist() == [0, 0, 0]  # type: ignore[attr-defined]
    state["w"].fill_(9)
    assert third.tensors["w"].tolist() == [0, 0, 0]  # type: ignore[attr-defined]


def test_a_broadcast_is_one_content_and_a_message_a_receiver() -> None:
    store = MemoryStore()
    channel = Channel(3, store)
    channel.send(SERVER, ["client-0", "client-2"], Weights({"w": torch.ones(5)}), "global")
    first, second = channel.messages
    data = store.get(first.digest)
    assert (first.sender, first.receiver, second.receiver) == (SERVER, "client-0", "client-2")
    assert (first.round, first.kind, first.purpose) == (3, "weights", "global")
    assert first.digest == second.digest == hashlib.sha256(data).hexdigest()
    assert (first.payload_bytes, first.encoded_bytes) == (20, len(data))
    assert first.visible_to(SERVER) and first.visible_to("client-0") and not first.visible_to("client-2")


def test_a_compact_payload_is_measured_as_sent_and_logged_as_opened() -> None:
    factors = payloads.LowRank(
        {"w": torch.ones(6, 1)}, {"w": torch.ones(1)}, {"w": torch.ones(1, 5)}, {}, [["w", [6, 5]]]
    )
    channel = Channel(1, MemoryStore())
    opened: Any = channel.send("client-0", SERVER, factors)
    assert isinstance(opened, Update) and opened.tensors["w"].shape == (6, 5)
    assert channel.messages[0].payload_bytes == 4 * (6 + 1 + 5)
    assert channel.messages[0].kind == "update"


def test_directions_count_up_down_and_peers_in_both() -> None:
    channel = Channel(1, MemoryStore())
    channel.send("client-0", SERVER, Weights({"w": torch.ones(10)}))
    channel.send(SERVER, ["client-0", "client-1"], Weights({"w": torch.ones(100)}))
    up, one, two = (m.encoded_bytes for m in channel.messages)
    assert directions(channel.messages) == (up, one + two)
    channel.send("client-0", "client-1", Weights({"w": torch.ones(1000)}))
    peer = channel.messages[-1].encoded_bytes
    assert directions(channel.messages) == (up + peer, one + two + peer)
    assert directions([]) == (0, 0)


def test_a_transcript_is_restricted_to_what_a_party_sees() -> None:
    channel = Channel(2, MemoryStore())
    for sender, receiver in (("client-0", SERVER), (SERVER, "client-1"), ("client-2", SERVER)):
        channel.send(sender, receiver, Scalars({"v": torch.tensor(1.0)}))
    transcript = Transcript(tuple(channel.messages), (), channel._store)
    assert len(transcript.restricted(lambda m: m.visible_to("client-1")).messages) == 1
    assert len(transcript.restricted(lambda m: m.visible_to(SERVER)).messages) == 3
    assert list(transcript.rounds()) == [2]


class Doubling:
    """A defense that doubles what clients send."""

    def outgoing(self, payload: Any, sender: str, round: int) -> Any:
        return type(payload)({name: 2 * t for name, t in payload.tensors.items()})


class Halving(Doubling):
    """A defense that halves updates of weights, and marks relays."""

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update:
        return Update({name: t / 2 for name, t in update.tensors.items()})

    def relayed(self, payload: Any, round: int) -> Any:
        return Scalars({"v": torch.tensor(float(round))})


def test_a_defense_acts_on_clients_alone() -> None:
    channel = Channel(1, MemoryStore(), Doubling())
    one = Scalars({"v": torch.tensor(1.0)})
    assert float(channel.send("client-0", SERVER, one).tensors["v"]) == 2
    assert float(channel.send(SERVER, "client-0", one).tensors["v"]) == 1
    assert float(one.tensors["v"]) == 1


def test_a_defense_on_updates_acts_on_the_change_and_keeps_counters() -> None:
    start = {"w": torch.tensor([1.0, 1.0]), "steps": torch.tensor(5)}
    end = Weights({"w": torch.tensor([3.0, 1.0]), "steps": torch.tensor(9)})
    sent = Channel(4, MemoryStore(), Halving(), lambda party: start).send("client-0", SERVER, end).tensors
    assert sent["w"].tolist() == [2.0, 1.0] and int(sent["steps"]) == 5
    relayed = Channel(4, MemoryStore(), Halving()).send(SERVER, "client-0", Scalars({"v": torch.tensor(1.0)}))
    assert float(relayed.tensors["v"]) == 4
    with pytest.raises(ValueError, match="needs the weights at the start"):
        Channel(4, MemoryStore(), Halving()).send("client-0", SERVER, end)
