"""Records in the gradient of a first linear layer: ``dL/dW_i = dL/db_i x`` for a single record.

Phong et al., "Privacy-Preserving Deep Learning via Additively Homomorphic Encryption" (2017); Geiping et al. (2020),
proposition 3.1. Exact for one record. In a batch a row that one record alone activates still shows it, so every row is
a guess; those are kept, with a label each, that lower the squared distance to the observed gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.gradients import GradientMap, Layout, gradient_map, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.config.base import UsageError

SAME = 1e-6
CHUNK = 16


@dataclass(frozen=True, eq=False)
class Guesses:
    """``images`` [m, C, H, W] in pixel scale and their ``labels`` [m]; m may be smaller than the batch."""

    images: Tensor
    labels: Tensor


def first_linear(model: nn.Module, knowledge: Knowledge) -> str | None:
    """Name of the linear layer with bias that reads the whole input, or None where the model starts otherwise."""
    owners = [(name, m) for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))]
    if not owners:
        return None
    name, first = owners[0]
    reads_all = isinstance(first, nn.Linear) and first.in_features == math.prod(knowledge.input_shape)
    return name if reads_all and first.bias is not None else None


def analytic(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Mapping[str, Tensor],
    knowledge: Knowledge,
    labels: Tensor,
    candidates: int = 64,
) -> Guesses:
    """Records behind one message, in float64; ``labels`` [B] in any order say which labels occur.

    At most ``candidates`` different rows, those of the largest ``|dL/db|``, are tried. Raises UsageError where the
    first layer is not linear or the message is an update of several steps.
    """
    name = first_linear(model, knowledge)
    if name is None:
        raise UsageError(
            "inversion: 'analytic' reads a first linear layer with bias, and this model has none; use 'dlg'."
        )
    like = torch.zeros(1, dtype=torch.float64)
    gradient = as_gradient(observed, knowledge)
    slopes = gradient[f"{name}.bias".lstrip(".")].to(like)
    rows = gradient[f"{name}.weight".lstrip(".")].to(like)
    order = slopes.abs().argsort(descending=True, stable=True)
    order = order[slopes[order].abs() > 1e-12 * slopes.abs().max()]
    guesses = rows[order] / slopes[order, None]
    if knowledge.records == 1:
        guesses = guesses[:1]
    inputs = different(guesses, candidates).view(-1, *knowledge.input_shape)
    if knowledge.records == 1:
        return Guesses(knowledge.to_pixels(inputs), labels[: len(inputs)].clone())
    wanted = Layout.of(model).flat(gradient, like)
    chosen, known = _kept(gradient_map(model, parameters, knowledge, like), inputs, labels, wanted, knowledge)
    return Guesses(knowledge.to_pixels(inputs[chosen]), known)


def different(rows: Tensor, most: int) -> Tensor:
    """The first ``most`` of ``rows`` [n, d] that differ from all before them by more than rounding."""
    kept = rows[:0]
    for row in rows:
        size = torch.linalg.vector_norm(row)
        if len(kept) < most and bool((torch.linalg.vector_norm(kept - row, dim=1) > SAME * (1 + size)).all()):
            kept = torch.cat([kept, row[None]])
    return kept


def _kept(
    problem: GradientMap, inputs: Tensor, labels: Tensor, wanted: Tensor, knowledge: Knowledge
) -> tuple[Tensor, Tensor]:
    """Greedy choice of (input, label) pairs while the distance falls: an input once, a label as often as it occurs."""
    pairs = [(row, int(label)) for row in range(len(inputs)) for label in labels.unique()]
    left = {int(label): int((labels == label).sum()) for label in labels.unique()}
    residual, chosen, known = wanted.clone(), list[int](), list[int]()
    for _ in range(knowledge.records):
        gains = torch.full((len(pairs),), -torch.inf, dtype=wanted.dtype)
        best: Tensor = residual
        for start in range(0, len(pairs), CHUNK):
            part = pairs[start : start + CHUNK]
            rows, marks = torch.tensor([p[0] for p in part]), torch.tensor([p[1] for p in part])
            targets = one_hot(marks, knowledge.classes, wanted.dtype)[:, None]
            simulated = problem.gradients(inputs[rows, None], targets) / knowledge.records
            gain = 2 * (simulated @ residual) - torch.linalg.vecdot(simulated, simulated)
            free = torch.tensor([p[0] not in chosen and left[p[1]] > 0 for p in part])
            gain = torch.where(free & gain.isfinite(), gain, -torch.inf)
            if bool(gain.max() > gains.max()):
                best = simulated[gain.argmax()]
            gains[start : start + CHUNK] = gain
        winner = int(gains.argmax())
        if not bool(gains[winner] > 0):
            break
        residual = residual - best
        chosen.append(pairs[winner][0])
        known.append(pairs[winner][1])
        left[known[-1]] -= 1
    return torch.tensor(chosen, dtype=torch.long), torch.tensor(known, dtype=torch.long)
