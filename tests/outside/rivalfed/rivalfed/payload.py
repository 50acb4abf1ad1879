"""An update in one byte an entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fedprivacy.wire.payload import Update, register


@register
@dataclass(frozen=True, eq=False)
class Bytes:
    kind: ClassVar[str] = "rival-bytes"
    codes: Mapping[str, Tensor]
    steps: Mapping[str, Tensor]

    @classmethod
    def of(cls, update):
        steps = {n: t.abs().amax().clamp_min(1e-12) / 127 for n, t in update.tensors.items()}
        return cls({n: (t / steps[n]).round().to(torch.int8) for n, t in update.tensors.items()}, steps)

    def opened(self):
        return Update({n: codes.float() * self.steps[n] for n, codes in self.codes.items()})

    @classmethod
    def example(cls):
        return cls.of(Update({"weight": torch.linspace(-1, 1, 12).reshape(3, 4), "bias": torch.zeros(3)}))
