"""What Flower's records hold: named arrays, numbers, and the bytes that cross for them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedprivacy.federation.own.arrays import tensor_of


def tensors_of(record: ArrayRecord) -> dict[str, torch.Tensor]:
    """The arrays of a record by name, each in its own type."""
    return {name: tensor_of(array.numpy()) for name, array in record.items()}


def numbers_of(record: MetricRecord) -> dict[str, torch.Tensor]:
    """The numbers of a record by name: int64 or float64; a list of them is one tensor."""
    found = {}
    for name, value in record.items():
        values = value if isinstance(value, list) else [value]
        whole = all(isinstance(one, int) for one in values)
        found[name] = torch.tensor(value, dtype=torch.int64 if whole else torch.float64)
    return found


def array_records(content: RecordDict) -> Iterator[tuple[str, ArrayRecord]]:
    """(purpose, record): a single one needs no purpose, several are told apart by their key."""
    records = content.array_records
    for key, record in records.items():
        yield ("" if len(records) == 1 else key), record


def moved_bytes(content: RecordDict) -> int:
    """Bytes of a message's content as Flower serialises it: arrays with their headers, numbers and settings."""
    arrays = sum(len(array.data) for record in content.array_records.values() for array in record.values())
    others = [*content.metric_records.values(), *content.config_records.values()]
    return arrays + sum(len(record.deflate()) for record in others)
