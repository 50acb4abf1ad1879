"""Bins of several directions, peeled: against counts by hand, against one list of bins, and where nothing agrees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedprivacy.attacks.inversion.imprint import alone_in_bin
from fedprivacy.attacks.inversion.peeling import Blocks, peeled

SIZE = 24


def _blocks(records: Tensor, bins: int, blocks: int, seed: int = 0) -> Blocks:
    """What ``records`` [n, d] leave in the bins, each with a derivative of its own."""
    draw = torch.Generator().manual_seed(seed)
    directions = torch.randn(blocks, SIZE, generator=draw, dtype=torch.float64)
    public = torch.rand(4000, SIZE, generator=draw, dtype=torch.float64) @ directions.T
    levels = torch.arange(1, bins, dtype=torch.float64) / bins
    cuts = torch.quantile(public, levels, dim=0).T
    thresholds = torch.cat([torch.full((blocks, 1), -100.0, dtype=torch.float64), cuts], 1).contiguous()
    share = torch.randn(len(records), generator=draw, dtype=torch.float64)
    sums, rows = torch.zeros(blocks, bins).double(), torch.zeros(blocks, bins, SIZE).double()
    for one, s in zip(records, share, strict=True):
        for block in range(blocks):
            place = int((thresholds[block] < one @ directions[block]).sum()) - 1
            sums[block, place] += s
            rows[block, place] += s * one
    return Blocks(sums, rows, thresholds, directions, 1e-9)


def _records(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _recovered(found: Tensor, records: Tensor) -> int:
    return int((torch.cdist(records, found).min(1).values < 1e-6).sum()) if len(found) else 0


def test_as_many_records_as_bins_of_a_list_come_out_of_four_lists() -> None:
    records = _records(64)
    found, left = peeled(_blocks(records, 64, 4))
    assert _recovered(found, records) == 64 and len(found) == 64 and len(left) == 0
    alone, rest = peeled(_blocks(records, 256, 1))
    assert len(alone) == 0
    assert _recovered(rest, records) == pytest.approx(64 * alone_in_bin(256, 64), abs=10) and len(rest) < 64


def test_nothing_agrees_where_every_bin_is_crowded() -> None:
    """Too many records: what is found holds hardly any record, and the rest are means."""
    records = _records(600)
    found, left = peeled(_blocks(records, 32, 4))
    assert _recovered(torch.cat([found, left]), records) <= 6 and len(left) <= 32


def test_noise_in_the_bins_is_borne_up_to_the_tolerance() -> None:
    records, draw = _records(40), torch.Generator().manual_seed(2)
    clean = _blocks(records, 64, 4)
    noise = 1e-5 * torch.randn(clean.rows.shape, generator=draw, dtype=torch.float64)
    found, _ = peeled(Blocks(clean.sums, clean.rows + noise, clean.thresholds, clean.directions, 1e-4))
    assert int((torch.cdist(records, found).min(1).values < 0.05).sum()) >= 38


def test_expected_share_of_blocks_is_that_of_independent_ones() -> None:
    assert alone_in_bin(64, 8, 1) == pytest.approx(0.8956, abs=5e-5)
    assert alone_in_bin(64, 8, 2) == pytest.approx(1 - (1 - 0.89561) ** 2, abs=1e-4)
