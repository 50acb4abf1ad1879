"""What an adversary would answer without any message: the mean of its own records of each class.

Where one image a class is sought and no mixture of public records could be made, it is the answer, a choice fixed
beforehand: attacks that take a whole training as one step explain a message best by pictures of nothing, so that their
loss cannot be held against that of a guess. What they gave is told beside it. Another client's message gives the same
answer, so that it can never pass for a leak.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.label_recovery import Public
from fedprivacy.attacks.inversion.recovered import Recovered

GUESS = "guess"
TOLD = (
    "a guess is the answer, the public mean of each class: no client could be played to show that an attack tells more"
)


def class_means(public: Public, classes: int) -> Tensor:
    """Mean public record of each class [classes, C, H, W]; of all records where a class has none."""
    pixels, marks = public
    own = [marks == label for label in range(classes)]
    return torch.stack([pixels[mine].mean(0) if bool(mine.any()) else pixels.mean(0) for mine in own])


def with_guess(found: Recovered, means: Tensor) -> Recovered:
    """What attacks gave of classes, with a guess in the first place; ``means`` as of :func:`class_means`."""
    images = means.double().cpu().numpy()[found.labels]
    return replace(found, images=images, attack=GUESS, loss=float("nan"), others={GUESS: images, **found.others})
