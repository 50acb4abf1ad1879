"""The active server: a malicious model made from public quantiles, and what its update gives away.

Fowl et al., "Robbing the Fed" (2022); see :mod:`fedprivacy.attacks.inversion.imprint`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.inversion.imprint import (
    ImprintedModel,
    alone_in_bin,
    lowest_projection,
    read_out,
    thresholds_from,
)
from fedprivacy.attacks.inversion.messages import EVERYBODY, client_updates, mean_updates
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.knowledge import Knowledge

GAIN = 10.0
ONE_STEP = 0.01
"""The rows' size where one step is all that they have to serve for."""
ROUNDING = 2.0**-19
"""Change of a bias, as a share of the largest one, below which it may be rounding of float32."""


def malicious(
    inner: nn.Module, shape: tuple[int, ...], public: Tensor, bins: int, shrink: float = 1.0
) -> ImprintedModel:
    """``inner`` behind an imprint layer; bins from the mean value of ``public`` records [n, d] as the model reads them.

    ``shrink`` as in :class:`ImprintedModel`: small where clients take one step. Raises ValueError where the public
    records are all of one mean value.
    """
    size = math.prod(shape)
    direction = torch.full((size,), 1.0 / size)
    low, high = float(public.min()), float(public.max())
    thresholds = thresholds_from(public, direction, bins, lowest_projection(direction, min(low, 0.0), max(high, 1.0)))
    return ImprintedModel(direction, thresholds.to(torch.float32), inner, shape, GAIN, shrink)


def from_imprint(view: View, knowledge: Knowledge, scale: PixelScale, name: str) -> Reconstructions:
    """Records read out of the updates of the malicious model, which ``knowledge.workbench`` builds."""
    wanted, training = knowledge.attack.inversion, knowledge.settings.training
    module = knowledge.workbench.module(name)
    names = frozenset(parameter for parameter, _ in module.named_parameters())
    masked = knowledge.wire.defended.hides_each
    sent = list((mean_updates if masked else client_updates)(view, knowledge, names))
    if not sent:
        raise ValueError("no update of the malicious model is in sight")
    found = []
    for one in sent[: wanted.messages]:
        largest = float(one.before["imprint.bias"].abs().max())
        read = read_out(one.change["imprint.weight"], one.change["imprint.bias"], ROUNDING * largest)
        rows = read.records[torch.isfinite(read.records).all(1)]
        images = _pixels(rows, scale)
        labels = torch.full((len(rows),), -1, dtype=torch.long).numpy()
        found.append(Recovered(one.round, one.client, one.number, "records", images, labels, "imprint"))
    bins = wanted.bins
    steps = training.local_steps or training.local_epochs * math.ceil(sent[0].records / training.batch_size)
    used = min(sent[0].records, training.batch_size * steps) * sent[0].merged
    told = f"{used} records and {bins} bins of equal public mass: {alone_in_bin(bins, used):.0%} expected alone in one"
    exact = "exact for one step of sgd" if steps == 1 and training.optimizer == "sgd" else "not exact any more"
    card = {
        "power": "sends a model of its own making in round 1; clients train on it as on any other",
        "weights": "its own",
        "bins": f"{bins}, from quantiles of {len(knowledge.auxiliary)} public records",
        "local steps": f"{steps} of {training.optimizer}, {exact}",
        "labels": "not needed",
        "expected": told,
    }
    whose = "the mean update of all clients" if sent[0].client == EVERYBODY else "each client's update"
    note = f"imprint layer read out of {whose}: {steps} local step{'s' if steps > 1 else ''}, {exact}; {told}"
    return Reconstructions("updates of an imprinted model", tuple(found), card, (note,))


def _pixels(rows: Tensor, scale: PixelScale) -> Float:
    low, size = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (scale.low, scale.range))
    images: Float = ((rows.view(-1, *scale.shape) - low) / size).numpy()
    return images
