"""What a model promises: built anew from a seed, the same logits for the same record, and it can learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.models import outside
from fedprivacy.study.conformance.checked import Look, hold
from fedprivacy.wire.codec import decode, encode, same_bits
from fedprivacy.wire.payload import Weights

STEPS = 60


def looks(part: Any, name: str, shape: tuple[int, ...], classes: int) -> Iterator[tuple[str, Look]]:
    """The properties of a model class or function on records of ``shape`` in ``classes`` classes."""

    def made(number: int) -> nn.Module:
        with seeds.torch_scope(number, "check", "model"):
            return outside.made(part, name, shape, classes)

    records = torch.rand(12, *shape, generator=seeds.generator(0, "check", "records"))

    def built() -> str:
        count = sum(p.numel() for p in made(0).parameters())
        hold(count > 0, "it has no parameters")
        return f"{count:,} parameters on records {list(shape)}, {classes} classes"

    def seeded() -> str:
        first, again, other = (made(number).state_dict() for number in (0, 0, 1))
        hold(same_bits(first, again), "two models of the same seed differ: it draws from elsewhere than torch")
        hold(not same_bits(first, other), "two models of different seeds are equal: it fixes its own seed")
        return ""

    def steady() -> str:
        module = made(0).eval()
        with torch.no_grad():
            hold(torch.equal(module(records), module(records)), "in eval mode the same records give other logits")
            alone = torch.cat([module(records[[i]]) for i in range(len(records))])
            far = float((alone - module(records)).abs().max())
        hold(far < 1e-3, f"in eval mode a record's logits depend on the others of its batch, by up to {far:.2g}")
        return ""

    def sent() -> str:
        state = made(0).state_dict()
        hold(all(isinstance(value, Tensor) for value in state.values()), "its state holds more than tensors")
        decoded = decode(encode(Weights(state)))
        assert isinstance(decoded, Weights)
        hold(same_bits(decoded.tensors, state), "its weights do not survive the wire bit for bit")
        return ""

    def learns() -> str:
        module, labels = made(0).train(), torch.arange(12) % classes
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        losses = []
        with seeds.torch_scope(0, "check", "training"):
            for _ in range(STEPS):
                loss = F.cross_entropy(module(records), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        hold(
            losses[-1] < 0.8 * losses[0],
            f"{STEPS} steps of Adam on 12 records: loss {losses[0]:.3g} to {losses[-1]:.3g}",
        )
        return f"loss {losses[0]:.3g} to {losses[-1]:.3g} in {STEPS} steps on 12 records"

    def parts() -> str:
        missing = [part for part in ("head", "features") if not hasattr(made(0), part)]
        return f"no {' and no '.join(missing)}: protocols on features refuse it" if missing else "head and features"

    yield "it is built for the records", built
    yield "first weights hang on the seed alone", seeded
    yield "a record's logits are its own", steady
    yield "its weights can be sent", sent
    yield "it learns", learns
    yield "parts for protocols on features", parts
