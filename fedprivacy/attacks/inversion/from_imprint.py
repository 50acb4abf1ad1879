"""The active server: a malicious model made from public quantiles, and what its update gives away.

Fowl et al., "Robbing the Fed" (2022); see :mod:`fedprivacy.attacks.inversion.imprint`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.inversion.imprint import (
    ImprintedModel,
    alone_in_bin,
    contents,
    loudest,
    lowest_projection,
    thresholds_from,
)
from fedprivacy.attacks.inversion.messages import EVERYBODY, Sent, client_updates, nominal_records
from fedprivacy.attacks.inversion.peeling import peeled
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.attacks.membership.models_on_wire import broadcast_models
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.learner import normalised
from fedprivacy.training.losses import predicted_class

GAIN = 10.0
LARGEST = 12.0
"""The largest weight that is sent where clients take one step: masked sums have a range, and a coarse grid in it."""
BLOCKS, FEW = 4, 128
"""Directions, and how many bins are worth sharing among them."""
ROUNDING = 2.0**-19
"""Change of a bias, as a share of the largest one, below which it may be rounding of float32."""
FAINT = 1e-5
"""Share of the largest content of a bin below which another's is none: what a record taken out may leave."""


def malicious(
    inner: nn.Module, shape: tuple[int, ...], public: Tensor, bins: int, draw: torch.Generator, one_step: bool = False
) -> ImprintedModel:
    """``inner`` behind an imprint layer; bins from projections of ``public`` records [n, d] as the model reads them.

    The first direction is the mean value; from ``FEW`` bins on there are more, random ones, which share the rows.
    ``one_step``: rows need to serve no further one, so that they may be small, and what goes on as large as is sent
    without being noticed. Raises ValueError where the public records are all of one mean value.
    """
    size, blocks = math.prod(shape), BLOCKS if bins >= FEW else 1
    others = torch.randn(blocks - 1, size, generator=draw) / size
    directions = torch.cat([torch.full((1, size), 1.0 / size), others])
    low, high = min(float(public.min()), 0.0), max(float(public.max()), 1.0)
    thresholds = [thresholds_from(public, w, bins // blocks, lowest_projection(w, low, high)) for w in directions]
    shrink = GAIN / (LARGEST * bins) if one_step else 1.0
    rows, pattern = torch.stack(thresholds).to(torch.float32), loudest(inner, shape)
    return ImprintedModel(directions, rows, inner, shape, GAIN, shrink, pattern)


def from_imprint(view: View, knowledge: Knowledge, scale: PixelScale, name: str) -> Reconstructions:
    """Records read out of the updates of the malicious model, which ``knowledge.workbench`` builds."""
    wanted, training = knowledge.attack.inversion, knowledge.settings.training
    module = knowledge.workbench.module(name)
    assert isinstance(module, ImprintedModel)
    names = frozenset(parameter for parameter, _ in module.named_parameters())
    masked = knowledge.wire.defended.hides_each
    sent = list(_sums(view, knowledge, names) if masked else client_updates(view, knowledge, names))
    if not sent:
        raise ValueError("no update of the malicious model is in sight")
    found = []
    for one in sent[: wanted.messages]:
        weight, bias = one.before["imprint.weight"], one.before["imprint.bias"]
        rows_moved, moved = one.change["imprint.weight"], one.change["imprint.bias"]
        empty = max(ROUNDING * float(bias.abs().max()), FAINT * float(moved.abs().max()))
        rows = torch.cat(peeled(contents(weight, bias, rows_moved, moved, module.blocks, empty)))
        images = _pixels(rows[torch.isfinite(rows).all(1)], scale)
        labels = torch.full((len(images),), -1, dtype=torch.long).numpy()
        found.append(Recovered(one.round, one.client, one.number, "records", images, labels, "imprint"))
    steps = training.local_steps or training.local_epochs * math.ceil(sent[0].records / training.batch_size)
    used = min(sent[0].records, training.batch_size * steps) * sent[0].merged
    bins, blocks = len(module.imprint.bias), module.blocks
    alone = f"{alone_in_bin(bins // blocks, used, blocks):.0%} expected alone in one"
    told = f"{used} records and {bins} bins of equal public mass" + (f" in {blocks} blocks" if blocks > 1 else "")
    exact = "exact for one step of sgd" if steps == 1 and training.optimizer == "sgd" else "not exact any more"
    card = {
        "power": "sends a model of its own making, anew before each round; clients train on it as on any other",
        "weights": "its own",
        "bins": f"{bins}, from quantiles of {len(knowledge.auxiliary)} public records along {blocks} directions",
        "local steps": f"{steps} of {training.optimizer}, {exact}",
        "labels": "not needed",
        "expected": f"{told}: {alone}",
        "damage": _damage(module, knowledge, sent[0]),
    }
    whose = "the mean update of all clients" if sent[0].client == EVERYBODY else "each client's update"
    note = f"imprint layer read out of {whose}: {steps} local step{'s' if steps > 1 else ''}, {exact}; {told}: {alone}"
    return Reconstructions("updates of an imprinted model", tuple(found), card, (note, card["damage"]))


def _sums(view: View, knowledge: Knowledge, names: frozenset[str]) -> Iterator[Sent]:
    """The mean update of each round, from what the server broadcast; every round began from the malicious model."""
    start, merged = knowledge.start, knowledge.wire.federation.together
    if start is None:
        return
    for model in broadcast_models(view.transcripts[0], False, None, start):
        change = {name: model.weights[name].double() - start[name].double() for name in names}
        yield Sent(model.round, EVERYBODY, model.round, start, change, nominal_records(knowledge), merged)


def _damage(module: ImprintedModel, knowledge: Knowledge, sent: Sent) -> str:
    """What the malicious model does to utility, and how conspicuous it is, beside the honest one inside it."""
    module.load_state_dict({**module.state_dict(), **sent.before})
    ids, data = knowledge.auxiliary, knowledge.dataset
    inputs, right = normalised(torch.from_numpy(data.x_train[ids]).to(module.imprint.weight.device)), []
    for model in (module, module.inner):
        with torch.no_grad():
            guess = predicted_class(model.eval()(inputs)).cpu().numpy()
        right.append(float((guess == data.y_train[ids]).mean()) if len(ids) else math.nan)
    own, honest = (sum(p.numel() for p in model.parameters()) for model in (module, module.inner))
    norms = [float(sum(p.detach().square().sum() for p in m.parameters())) ** 0.5 for m in (module, module.inner)]
    return (
        f"damage: the malicious model gets {right[0]:.1%} of the adversary's own records right, the honest one that it "
        f"took the place of {right[1]:.1%}; conspicuous: {own} parameters of norm {norms[0]:.3g} in the place of "
        f"{honest} of norm {norms[1]:.3g}, with {len(module.imprint.bias)} rows that are copies of "
        f"{module.blocks}"
    )


def _pixels(rows: Tensor, scale: PixelScale) -> Float:
    low, size = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (scale.low, scale.range))
    images: Float = ((rows.view(-1, *scale.shape) - low) / size).numpy()
    return images
