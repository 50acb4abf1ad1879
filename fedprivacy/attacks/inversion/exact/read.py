"""SPEAR on several messages, as one attack among others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.clock import Clock
from fedprivacy.attacks.inversion.common_loss import common_loss
from fedprivacy.attacks.inversion.exact.spear import SpearSettings, seen, spear
from fedprivacy.attacks.inversion.gradients import one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import Public
from fedprivacy.attacks.inversion.reconstruction import Reconstruction

EXPLAINS = 0.01
"""Part of a message that may be left over where nothing tells which step met which record. One wrong record of sixteen
leaves eight times as much."""
OUTSIDE = 0.05
"""How far rounding may take a pixel out of [0, 1]."""


def read_exactly(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor,
    generator: torch.Generator,
    public: Public | None,
    settings: SpearSettings,
    clock: Clock,
) -> Reconstruction:
    """:func:`spear` on each of T messages; NaN where the gradient is not of low rank or no basis was found.

    Fewer records than the card names leave mid-grey images, with labels left over from ``labels`` [T, B]. Where the
    card lets several steps be simulated, whether records are the right ones is left to the common loss. It cannot tell
    where each step had records of its own, or no rate is known: then all of them are NaN unless each single one has its
    ReLUs right or the message is nearly explained all the same, and unless the pixels of pictures lie in [0, 1].
    """
    simulated = knowledge.steps > 1 and knowledge.lr is not None
    least = replace(settings, sound=0.0) if simulated else settings
    sound, inside = torch.zeros(2, len(observed), dtype=torch.bool)
    features = knowledge.input_shape[1:] == (1, 1)
    shape = (len(observed), knowledge.records, *knowledge.input_shape)
    images = torch.full(shape, torch.nan, dtype=torch.float64)
    known = torch.zeros(shape[:2], dtype=torch.long)
    notes: dict[str, None] = {}
    for target, message in enumerate(observed):
        made = seen(model, message, knowledge)
        if made is None:
            notes["spear: a first layer's gradient is not of low rank, so that it tells no number of records"] = None
            continue
        part = clock.part(1 / (len(observed) - target))
        found = spear(model, parameters, message, knowledge, generator, public, least, part, made)
        if found is None:
            notes["spear: no basis was found whose records explain the layer's ReLUs"] = None
            continue
        sound[target] = found.match >= settings.sound and found.least >= settings.least
        inside[target] = features or bool(((found.images + OUTSIDE >= 0) & (found.images <= 1 + OUTSIDE)).all())
        number = min(len(found.images), knowledge.records)
        images[target, :number], images[target, number:] = found.images[:number], 0.5
        known[target] = completed(found.labels[:number].tolist(), labels[target].tolist(), knowledge.records)
        notes[f"spear: {found.note}"] = None
    targets = one_hot(known, knowledge.classes, torch.float64)
    loss = common_loss(model, parameters, observed, knowledge, images, targets)
    if knowledge.divided or (knowledge.shared == "update" and knowledge.lr is None):
        doubtful = ~(inside & (sound | (loss < EXPLAINS))) & loss.isfinite()
        if bool(doubtful.any()):
            notes["spear: some records of a message have ReLUs or pixels that cannot be: none of it is taken"] = None
        images[doubtful], loss[doubtful] = torch.nan, torch.nan
    failed = images.isnan().flatten(1).any(1).long()
    return Reconstruction(images, targets, loss, failed, 1, len(observed), tuple(notes))


def completed(found: list[int], told: list[int], records: int) -> Tensor:
    """Labels [records]: those ``found``, then those ``told`` that are not among them, then class 0."""
    left = list(told)
    for label in found:
        if label in left:
            left.remove(label)
    every = [*found, *left, *[0] * records]
    return torch.tensor(every[:records], dtype=torch.long)
