"""Labels read off the gradient of the last layer's bias, before any image is reconstructed.

One record: Zhao, Mopuri, Bilen, "iDLG" (2020): the derivative is negative for the true class alone. A batch: with
mean cross-entropy the derivative is ``mean_b p_bc - n_c / B``, and the mean softmax of a class is nearly that of the
class's public records, so the counts solve a linear system with non-negative unknowns (non-negative least squares;
compare Wainakh et al., "User-Level Label Leakage from Gradients in Federated Learning", 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.inversion.gradients import frozen_copy
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.config.base import UsageError

Public = tuple[Tensor, Tensor]
"""Public pixels [n, C, H, W] in [0, 1] and their labels [n]."""
SUM_WEIGHT = 10.0


def last_layer(model: nn.Module) -> tuple[str, str | None]:
    """Names of the weight and, if it has one, the bias of the last linear layer."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UsageError("inversion: labels are read from a last linear layer, and the model has none; give them.")
    name, module = linear[-1]
    return f"{name}.weight".lstrip("."), None if module.bias is None else f"{name}.bias".lstrip(".")


def class_derivatives(model: nn.Module, gradient: Mapping[str, Tensor]) -> Float:
    """``dL/db`` of every class [classes], from the bias, or from the row sums of ``dL/dW`` where there is none.

    One logit z counts as the two logits (0, z). Row sums have the right signs only for non-negative features.
    """
    weight, bias = last_layer(model)
    values = gradient[weight].sum(1) if bias is None else gradient[bias]
    slopes: Float = values.detach().double().cpu().numpy()
    return np.array([-slopes[0], slopes[0]]) if slopes.size == 1 else slopes


def single_label(derivatives: Float) -> int:
    """The label of one record: the class of the smallest derivative [classes]. Exact for cross-entropy."""
    return int(np.argmin(derivatives))


def class_counts(derivatives: Float, mean_softmax: Float, records: int) -> Int:
    """How often each class occurs among ``records`` records of one mean-loss gradient, [classes].

    ``mean_softmax`` [classes, classes]: row c is the mean softmax of class c's public records. Solves
    ``(I - P') w = -dL/db, sum w = 1, w >= 0``, then rounds ``records * w`` by largest remainders.
    """
    classes = derivatives.size
    system = np.vstack([np.eye(classes) - mean_softmax.T, np.full((1, classes), SUM_WEIGHT)])
    shares, _ = scipy.optimize.nnls(system, np.append(-derivatives, SUM_WEIGHT))
    return largest_remainder(shares, records)


def largest_remainder(shares: Float, total: int) -> Int:
    """Integers [classes] that sum to ``total``, as near to ``total * shares / sum(shares)`` as rounding allows."""
    size = shares.sum()
    quota = total * (shares / size if size > 0 else np.full_like(shares, 1 / shares.size))
    counts = np.floor(quota + 1e-9).astype(np.int64)
    order = np.argsort(counts - quota, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def mean_softmax(twin: nn.Module, inputs: Tensor, labels: Tensor, classes: int) -> Float:
    """Mean softmax [classes, classes] of each class's public records; a class without any gets the overall mean."""
    with torch.no_grad():
        logits = twin(inputs)
        logits = torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
        p: Float = torch.softmax(logits.double(), 1).cpu().numpy()
    known = labels.cpu().numpy()
    return np.stack([(p[known == c] if (known == c).any() else p).mean(0) for c in range(classes)])


def recover_labels(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Mapping[str, Tensor],
    knowledge: Knowledge,
    public: Public | None = None,
    weights: Literal["start", "end", "mean"] = "mean",
) -> Tensor:
    """Labels [records] in ascending order behind one message; the order of the records is not in it.

    An update counts as a mean gradient: its bias change over ``lr * steps``, with the softmax at the weights before
    it, after it, or their mean. Without public records every class is taken to answer like a mid-grey image.
    """
    steps = 1 if knowledge.shared == "gradient" else knowledge.steps
    scale = 1.0 if knowledge.shared == "gradient" else -steps * (knowledge.lr or 1.0)
    derivatives = class_derivatives(model, observed) / scale
    if knowledge.records == 1:
        return torch.tensor([single_label(derivatives)])
    like = torch.zeros(1, dtype=torch.float64)
    grey = torch.full((1, *knowledge.input_shape), 0.5), torch.zeros(1, dtype=torch.long)
    pixels, labels = grey if public is None else public
    after = dict(parameters)
    if knowledge.shared == "update":
        after |= {name: parameters[name] + change.to(parameters[name]) for name, change in observed.items()}
    inputs = knowledge.to_input(pixels.to(like))
    tables = [
        mean_softmax(frozen_copy(model, state, knowledge, like), inputs, labels, derivatives.size)
        for state, wanted in ((parameters, ("start", "mean")), (after, ("end", "mean")))
        if weights in wanted
    ]
    counts = class_counts(derivatives, np.mean(tables, 0), knowledge.records)
    return torch.from_numpy(np.repeat(np.arange(counts.size), counts))


def present_labels(model: nn.Module, observed: Mapping[str, Tensor], records: int) -> Tensor:
    """Labels [records], ascending, from an update of unknown scale.

    A class whose bias rises occurs in the batch. Such classes are dealt in turn, the steepest first, until there are as
    many as records; how often each occurs is not known.
    """
    rises = -class_derivatives(model, {name: -change for name, change in observed.items()})
    order = np.argsort(-rises, kind="stable")
    present = [int(c) for c in order if rises[c] > 0] or [int(order[0])]
    dealt = [present[i % len(present)] for i in range(records)]
    return torch.tensor(sorted(dealt))
