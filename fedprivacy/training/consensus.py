"""Consensus of several clients' predictions, and its sharpening (Itahara et al., arXiv 2008.06180).

Probabilities are [N, C], or [N, 1] = P(class 1) for one sigmoid output; results keep the form they came in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def both_classes(probabilities: Tensor) -> Tensor:
    """[N, C] as it is; one sigmoid column becomes its two classes [N, 2]."""
    return torch.cat([1 - probabilities, probabilities], dim=1) if probabilities.shape[1] == 1 else probabilities


def in_form_of(probabilities: Tensor, like: Tensor) -> Tensor:
    """[N, C] back to one column where ``like`` has one."""
    return probabilities[:, 1:] if like.shape[1] == 1 else probabilities


def mean(predictions: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Mean of equally shaped predictions, uniform unless ``weights`` (not negative, not all zero) are given."""
    stacked = torch.stack([p.double() for p in predictions])
    shares = torch.ones(len(predictions)) if weights is None else torch.tensor(weights)
    shares = shares.double() / shares.double().sum()
    return torch.einsum("k,knc->nc", shares, stacked).to(predictions[0].dtype)


def entropy_reduced(probabilities: Tensor, temperature: float) -> Tensor:
    """ERA: ``softmax(m / T)`` of the *probabilities* m. The order of the classes stays; a lower T, a lower entropy.

    Below the entropy of m itself wherever neighbours in a sorted row have a logarithmic mean of at least T, as in
    averages that leave a doubt; a row that is certain already gets less certain, since no exponent exceeds 1 / T. At
    T = 0.1: (.6, .4) becomes (.881, .119).
    """
    pairs = both_classes(probabilities)
    return in_form_of(torch.softmax(pairs / temperature, dim=1), probabilities)


def enhanced(probabilities: Tensor, sharpness: float) -> Tensor:
    """``m^beta / sum m^beta``: lower entropy above beta = 1, the order of the classes stays."""
    logs = sharpness * both_classes(probabilities).clamp_min(torch.finfo(probabilities.dtype).tiny).log()
    return in_form_of(torch.softmax(logs, dim=1), probabilities)
