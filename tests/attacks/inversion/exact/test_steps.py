"""Large steps turn ReLUs to and fro: simulated, they tell which rows a record left alone in every one of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.exact.basis import Layer
from fedprivacy.attacks.inversion.exact.factors import factors
from fedprivacy.attacks.inversion.exact.slopes import slopes_by
from fedprivacy.attacks.inversion.exact.spear import SpearSettings, spear
from fedprivacy.attacks.inversion.exact.steps import Steps, together
from fedprivacy.attacks.inversion.gradients import frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge
from fedprivacy.models.build import build
from tests.attacks.inversion.exact.dense import Message, draw_of, farthest, state

NAME, SHAPE, NUMBER = "hidden", (1, 16, 16), 5
CARD = Knowledge(SHAPE, 2, "update", NUMBER, NUMBER, epochs=5, lr=0.15)
LABELS = torch.arange(NUMBER) % 2
TARGETS = one_hot(LABELS, 2, torch.float64)


def _alike(number: int, seed: int) -> Tensor:
    """Records [number, 1, 16, 16] that are much alike, as photographs are."""
    same = torch.rand(1, *SHAPE, generator=draw_of(3), dtype=torch.float64)
    return (same + 0.35 * torch.randn(number, *SHAPE, generator=draw_of(seed), dtype=torch.float64)).clamp(0, 1)


def _trained(x: Tensor) -> tuple[nn.Module, Message, Tensor]:
    """The model as it was sent, the update of all steps on ``x``, and the summed derivatives [B, m]."""
    model = build("mlp", SHAPE, 2, "softmax", 0, "alike").double()
    sent, slopes = frozen_copy(model, {}, CARD, torch.zeros(1, dtype=torch.float64)), torch.zeros(len(x), 256).double()
    optimiser = torch.optim.SGD(model.parameters(), lr=CARD.lr or 0.0)
    for _ in range(CARD.steps):
        slopes += slopes_by(model, NAME, x, TARGETS)
        optimiser.zero_grad()
        F.cross_entropy(model(x), LABELS).backward()
        optimiser.step()
    return sent, {name: value - state(sent)[name] for name, value in state(model).items()}, slopes


def _case() -> tuple[Tensor, Steps, Tensor, Tensor]:
    """Records, their steps, the true directions [B, B], and the rows at which these are zero [B, m]."""
    x = _alike(NUMBER, 7)
    sent, update, slopes = _trained(x)
    made = factors(update[f"{NAME}.weight"], update[f"{NAME}.bias"])
    assert made is not None and made.rank == NUMBER
    return x, Steps(sent, NAME, CARD, update, made), F.normalize(slopes @ made.left, dim=1), slopes == 0


def test_steps_on_the_true_records_explain_every_relu_and_the_weights_that_were_sent_do_not() -> None:
    x, steps, vectors, zero = _case()
    weight, bias = (state(steps.twin)[f"{NAME}.{part}"] for part in ("weight", "bias"))
    plain, (layer, slopes) = Layer.sent(steps.made, weight, bias).read(vectors, zero), steps.on(x, TARGETS)
    assert plain is not None and plain.match < 0.95
    followed = layer.read(vectors, zero)
    assert followed is not None and followed.match == 1.0
    assert bool(((slopes == 0) == zero).all())
    torch.testing.assert_close(layer.records(followed), x.flatten(1))


def test_what_is_kept_of_the_layer_is_what_steps_of_the_whole_model_make_of_it() -> None:
    """Also on records that are not the client's, and held to the weights that were sent."""
    _, steps, vectors, zero = _case()
    steps, guess = replace(steps, knowledge=replace(CARD, hold=0.3)), _alike(9, 11)
    targets = one_hot(torch.arange(9) % 2, 2, torch.float64)
    layer, slopes = steps.on(guess, targets)
    now, sent = (
        frozen_copy(steps.twin, {}, CARD, torch.zeros(1, dtype=torch.float64)).requires_grad_(),
        state(steps.twin),
    )
    met, own = [state(now)], torch.zeros(9, 256).double()
    for _ in range(CARD.steps):
        own += slopes_by(now, NAME, guess, targets)
        moves = torch.autograd.grad(F.cross_entropy(now(guess), targets), list(now.parameters()))
        with torch.no_grad():
            for (name, value), move in zip(now.named_parameters(), moves, strict=True):
                value -= 0.15 * (move + 0.3 * (value - sent[name]))
        met.append(state(now))
    torch.testing.assert_close(slopes, own)
    found = layer.read(vectors, zero)
    assert found is not None
    names = (f"{NAME}.weight", f"{NAME}.bias")
    short = [sent[name] + steps.update[name] - met[-1][name] for name in names]
    along = [
        [one[name] + number / CARD.steps * left for name, left in zip(names, short, strict=True)]
        for number, one in enumerate(met[:-1])
    ]
    each = [F.linear(layer.records(found), weight, bias) for weight, bias in along]
    torch.testing.assert_close(found.outputs, torch.stack(each).amax(0))


def test_simulated_steps_end_where_the_message_says() -> None:
    """Steps of no length are moved along the straight line from the first weights to the last."""
    x, steps, vectors, zero = _case()
    layer, _ = replace(steps, knowledge=replace(CARD, lr=0.0)).on(x, TARGETS)
    found, sent = layer.read(vectors, zero), state(steps.twin)
    assert found is not None
    moved = [
        {name: sent[name] + step / CARD.steps * steps.update[name] for name in (f"{NAME}.weight", f"{NAME}.bias")}
        for step in range(CARD.steps)
    ]
    each = [F.linear(x.flatten(1), one[f"{NAME}.weight"], one[f"{NAME}.bias"]) for one in moved]
    torch.testing.assert_close(found.outputs, torch.stack(each).amax(0))


def test_records_that_explain_every_relu_along_their_steps_are_told_from_all_others() -> None:
    """Under the weights that were sent alone the true ones, too, seem wrong in one ReLU of twenty."""
    x, steps, _, _ = _case()
    public = _alike(60, 8), torch.arange(60) % 2
    settings = SpearSettings(sound=0.0)
    found = spear(steps.twin, state(steps.twin), steps.update, CARD, draw_of(), public, settings)
    assert found is not None and found.match == found.least == 1.0 and farthest(found.images, x) < 1e-6
    order = torch.cdist(x.flatten(1), found.images.flatten(1)).argmin(1)
    assert found.labels[order].tolist() == LABELS.tolist()


def test_only_plain_steps_on_all_records_are_followed() -> None:
    assert together(CARD)
    others = [{"batch": 4}, {"lr": None}, {"adam": Adam()}, {"clip": 1.0}, {"epochs": 1}]
    assert not any(together(replace(CARD, **other)) for other in others)  # type: ignore[arg-type]
