"""Arrays as other frameworks hand them over, in every layout and type: written as they are, or refused.

The files are read again by a reader of this test's own, from the description of the format alone: an 8-byte length,
a JSON header, and the values of each tensor row by row. safetensors' numpy writer (0.8.0) takes memory as it lies,
and so scrambles an array that is not stored row by row.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.federation.own.arrays import tensor_of
from fedprivacy.study.membership.scores_file import read_scores
from fedprivacy.wire.codec import decode, encode
from fedprivacy.wire.payload import Weights

NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
BASE = np.arange(24, dtype=np.float64).reshape(2, 3, 4)

ARRAYS: dict[str, NDArray[Any]] = {
    "row by row": BASE,
    "column by column": np.asfortranarray(BASE),
    "turned": BASE.T,
    "strided": BASE[:, ::2, ::-1],
    "one column": BASE[:, :, 1],
    "same row again": np.broadcast_to(BASE[:1], (3, 3, 4)),
    "zero-size": np.empty((0, 3)),
    "zero-size, turned": np.asfortranarray(np.empty((3, 0, 2))),
    "a number": np.array(3.5),
    "big-endian": BASE.astype(">f8"),
    "float16": BASE.astype(np.float16).T,
    "float32": BASE.astype(np.float32)[::-1],
    "integers": np.asfortranarray(BASE.astype(np.int64)),
    "flags": (BASE > 5).T,
}


def own_reader(data: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Type, shape and values of each tensor in a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_in_files_are_in_order(name: str, tmp_path: Path) -> None:
    given = ARRAYS[name]
    kept = given.copy()
    path = tmp_path / "arrays.safetensors"
    folder.write_arrays(path, {"a": given, "beside": BASE.T})
    kind, shape, values = own_reader(path.read_bytes())["a"]
    found = np.frombuffer(values, NUMPY[kind]).reshape(shape)
    assert found.shape == given.shape
    assert np.array_equal(found, kept)
    assert np.array_equal(given, kept)
    again, _ = folder.read_arrays(path)
    assert again["a"].shape == given.shape
    assert np.array_equal(again["a"], kept)


def test_no_array_without_a_number_type_is_written(tmp_path: Path) -> None:
    """bfloat16 that went through .npz comes back as two raw bytes an entry."""
    with pytest.raises((KeyError, TypeError, ValueError, SafetensorError)):
        folder.write_arrays(tmp_path / "raw", {"a": np.zeros(3, "V2")})
    with pytest.raises((KeyError, TypeError, ValueError, SafetensorError)):
        folder.write_arrays(tmp_path / "raw", {"a": np.array([{}, {}], dtype=object)})


SQUARE = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
TENSORS: dict[str, Tensor] = {
    "turned": SQUARE.transpose(0, 2),
    "channels last": torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(
        memory_format=torch.channels_last
    ),
    "strided": SQUARE[:, ::2],
    "a row of a matrix": torch.arange(4000.0).view(1000, 4)[7],
    "spread": torch.arange(3.0).expand(4, 3),
    "zero-size": torch.empty(0, 3),
    "a number": torch.tensor(3.5),
    "bfloat16": SQUARE.bfloat16().transpose(0, 1),
    "float16": SQUARE.half().transpose(0, 1),
    "float8": torch.tensor([1.0, -448.0, 0.5]).to(torch.float8_e4m3fn),
    "integers": torch.arange(6).view(2, 3).T,
    "a parameter": torch.nn.Parameter(SQUARE[0].T.clone().T),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_on_the_wire_are_in_order(name: str) -> None:
    given = TENSORS[name].detach()
    data = encode(Weights({"w": TENSORS[name]}))
    kind, shape, values = own_reader(data)["tensors/w"]
    plain = given.contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    assert shape == list(given.shape)
    assert values == raw
    assert len(values) == given.numel() * given.element_size()
    found = decode(data)
    assert isinstance(found, Weights)
    assert found.tensors["w"].dtype == given.dtype
    assert torch.equal(found.tensors["w"].float(), given.float())
    assert kind


def scores_file(where: Path, **arrays: NDArray[Any]) -> Path:
    path = where / "scores.npz"
    np.savez(path, **arrays)
    return path


MEMBER = np.array([1, 0, 1, 0, 1, 0])
LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float16).astype(np.float64)


@pytest.mark.parametrize("layout", ["row by row", "column by column", "strided", "float16", "big-endian"])
def test_logits_of_other_frameworks_are_read_in_order(layout: str, tmp_path: Path) -> None:
    logits = {
        "row by row": LOGITS,
        "column by column": np.asfortranarray(LOGITS),
        "strided": np.repeat(LOGITS, 2, axis=1)[:, ::2],
        "float16": LOGITS.astype(np.float16),
        "big-endian": LOGITS.astype(">f4"),
    }[layout]
    found = read_scores(scores_file(tmp_path, member=MEMBER, labels=MEMBER, target_logits=logits))
    assert found.bank is not None
    assert found.bank.logits.dtype == np.float64
    assert np.array_equal(found.bank.logits[0], logits.astype(np.float64))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.zeros(6, "V2"), "expected numbers"),
        (np.zeros(6, complex), "expected numbers"),
        (np.zeros((6, 1)), "expected numbers"),
        (np.zeros(0), "0 scores"),
        (np.full(6, np.inf, np.float16), "NaN or infinite"),
    ],
)
def test_what_is_no_number_is_refused(scores: NDArray[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_scores(scores_file(tmp_path, member=MEMBER, scores=scores))


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_sent_by_a_loop_of_ones_own_become_tensors_in_order(name: str) -> None:
    given = ARRAYS[name]
    found = tensor_of(given)
    assert list(found.shape) == list(given.shape)
    assert found.is_contiguous()
    assert np.array_equal(found.numpy(), given)


def test_bfloat16_of_other_frameworks_keeps_its_bits() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    given = np.array([[1.0, -2.5], [3.0, 1e38]], ml_dtypes.bfloat16).T
    found = tensor_of(given)
    assert found.dtype == torch.bfloat16
    assert np.array_equal(found.double().numpy(), given.astype(np.float64))


@pytest.mark.parametrize("value", [np.zeros(3, "V2"), np.array(["a"]), np.array([{}], dtype=object)])
def test_what_holds_no_numbers_cannot_be_sent(value: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="holds no numbers"):
        tensor_of(value)
