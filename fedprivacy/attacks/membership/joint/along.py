"""Gradients along the paths of simulated clients, and the undoing of Adam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.attacks.membership.joint.gradients import Gradients, gradients
from fedprivacy.federation.environment import Part
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.learner import Records, normalised
from fedprivacy.training.losses import cross_entropy
from fedprivacy.training.watching import Path

FLOOR = 0.02
"""Smallest Adam denominator, as a share of its root mean square in the same tensor."""


def along(module: nn.Module, path: Path, records: Records, kinds: Sequence[str] = (), root: int = 0) -> Gradients:
    """Gradients of the cross-entropy of ``records``, averaged over the points of ``path``. ValueError without any.

    Augmented by ``kinds``, with a draw of its own at each point, since nobody but the client knows its own.
    """
    device = next(module.parameters()).device
    x, y = normalised(torch.from_numpy(records.x).to(device)), torch.from_numpy(records.y).to(device)
    total: Gradients | None = None
    for number, point in enumerate(path.points):
        module.load_state_dict(point)
        drawn = augmented(x, kinds, seeds.generator(root, "along", "augmentation", number))
        found = gradients(module, drawn, y, _losses)
        total = found if total is None else total.plus(found)
    if total is None:
        raise ValueError("a simulated client took no step of training")
    return total.over(len(path.points))


def of_records(module: nn.Module, records: Records) -> Gradients:
    """Gradients of the cross-entropy of each record at the module's present weights."""
    device = next(module.parameters()).device
    x, y = normalised(torch.from_numpy(records.x).to(device)), torch.from_numpy(records.y).to(device)
    return gradients(module, x, y, _losses)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits, labels, reduction="none")


def denominators(paths: Sequence[Path], names: Sequence[str]) -> dict[str, Tensor]:
    """What Adam divided each entry of ``names`` by: means over ``paths``, of root mean square 1."""
    means: dict[str, Tensor] = {}
    for name in names:
        looks = [path.stretch[name] for path in paths if name in path.stretch]
        if looks:
            mean = torch.stack(looks).mean(dim=0)
            means[name] = mean + FLOOR * mean.square().mean().sqrt()
    entries = sum(mean.numel() for mean in means.values())
    size = float(sum(mean.double().square().sum() for mean in means.values()) / max(1, entries)) ** 0.5
    return {name: mean / size for name, mean in means.items()} if size > 0 else {}


def undone(moved: Part, by: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A change of weights with Adam's division undone."""
    return {name: t * by[name] if name in by else t for name, t in moved.items()}
