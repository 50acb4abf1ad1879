"""What Flower does to some contents, told in one line where a recording shows it (``docs/behaviour.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS as SECAGG
from flwr.supercore.differential_privacy import KEY_CLIPPING_NORM as CLIPPING
from torch import Tensor

__all__ = ["CLIPPING", "SECAGG", "warnings"]


def warnings(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], clipping: bool, masked: bool = False
) -> Iterator[str]:
    """What is wrong with the upload ``after`` of a node that held ``before``.

    ``clipping``: its update is clipped by a mod or strategy of Flower; ``masked``: it goes through SecAgg+.
    """
    counters = [name for name in after if name in before and not before[name].is_floating_point()]
    changed = [name for name in counters if not torch.equal(before[name].double(), after[name].double())]
    if clipping and changed:
        yield (
            f"Flower's clipping counts the integer buffer {changed[0]} in the norm of the update, so it scales the "
            "weights by far more than their own norm asks for; leave such buffers out of what is sent"
        )
    halves = [name for name, tensor in after.items() if tensor.dtype == torch.float16]
    if masked and halves:
        yield f"SecAgg+ destroys float16, in which {halves[0]} was sent; send float32"
