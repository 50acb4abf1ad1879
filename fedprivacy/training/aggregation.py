"""Weighted means of model states, as a server takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def weighted_mean(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Mean of states with the same names and shapes, ``sum_k w_k s_k / sum_k w_k`` (McMahan et al. 2017, Alg. 1).

    Equal weights by default. Summed in float64, returned in each tensor's own type. Integer buffers (counters)
    cannot be averaged: they must agree, or the largest is taken. Raises ValueError on unlike names or shapes, no
    states, negative weights or a zero sum.
    """
    if not states:
        raise ValueError("nothing to average")
    shares = [1.0] * len(states) if weights is None else [float(w) for w in weights]
    total = sum(shares)
    if len(shares) != len(states) or min(shares) < 0 or total <= 0:
        raise ValueError("weights must be one a state, not negative, and not all zero")
    first = states[0]
    for state in states[1:]:
        if state.keys() != first.keys() or any(state[n].shape != first[n].shape for n in first):
            raise ValueError("states to average differ in names or shapes")
    return {name: _mean([s[name] for s in states], [w / total for w in shares]) for name in first}


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if not tensors[0].is_floating_point():
        return torch.stack(list(tensors)).amax(dim=0)
    mean = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor, share in zip(tensors, shares, strict=True):
        mean.add_(tensor.to(torch.float64), alpha=share)
    return mean.to(tensors[0].dtype)
