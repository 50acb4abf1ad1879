"""Generated models: kinds of layer, paddings, layouts, ways to compute a weight, losses, and batches of 0, 1 and n."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from fedprivacy import seeds
from fedprivacy.models.convolution import Convolution, PooledConvolution, channels_last
from fedprivacy.training.clipping import Batch, Clipped, Losses
from fedprivacy.training.one_by_one import one_by_one

MODELS = int(os.environ.get("DIFFERENTIAL_MODELS", "40"))
CLASSES, LENGTH, WIDTH = 3, 4, 4
Compare = Callable[[nn.Module, Tensor, Losses], dict[str, str]]


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Computed(nn.Module):
    """A square linear map whose weight is made from its parameter before use."""

    def __init__(self, make: Callable[[Tensor], Tensor], size: int = WIDTH) -> None:
        super().__init__()
        self.make = make
        self.weight = nn.Parameter(torch.randn(size, size) / 2)
        self.bias = nn.Parameter(torch.randn(size) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.make(self.weight), self.bias)


class Adapter(nn.Module):
    """A frozen weight plus a product of two thin ones, merged before use."""

    def __init__(self, size: int = WIDTH) -> None:
        super().__init__()
        self.plain = nn.Linear(size, size)
        self.plain.weight.requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.randn(1, size)), nn.Parameter(torch.randn(size, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.plain.weight + self.up @ self.down, self.plain.bias)


class Reversed(torch.autograd.Function):
    """The same tensor, the gradient turned round."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, *outputs: Tensor) -> Tensor:
        return -outputs[0]


class Standardised(nn.Conv2d):
    """A convolution whose filters are brought to mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(x, w / (w.std(dim=(1, 2, 3), keepdim=True) + 1e-5), self.bias)


class Twice(nn.Module):
    """One layer used twice."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(self.layer(x)))


class Shared(nn.Module):
    """Two parameters in one place of memory, and the weight of one map used again, turned round, by another."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        if tied:
            self.second.weight = self.first.weight
        else:
            self.second.weight = nn.Parameter(self.first.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


class Scaled(nn.Module):
    """A factor that no layer knows."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Experts(nn.Module):
    """Each record goes to one of two layers, by its own sign."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        chosen = (x.flatten(1).sum(dim=1) > 0).view(-1, *[1] * (x.ndim - 1))
        return torch.where(chosen, self.layer(x), self.other(x))


class Attention(nn.Module):
    """Self-attention over positions, records first or second."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.inner = nn.MultiheadAttention(WIDTH, 2, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.batch_first else x.transpose(0, 1)
        y = self.inner(y, y, y, need_weights=False)[0]
        return y if self.batch_first else y.transpose(0, 1)


class PositionsFirst(nn.Module):
    """A linear map and a normalisation on [positions, records, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.map(x.transpose(0, 1))).transpose(0, 1)


class Recurrent(nn.Module):
    """The states of a recurrent layer."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.inner = kind(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.inner(x)[0]
        return states


def hooked_linear() -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    layer.weight.register_hook(lambda g: 2 * g)
    return layer


def frozen(layer: nn.Module, *names: str) -> nn.Module:
    for name in names:
        getattr(layer, name).requires_grad_(False)
    return layer


def odd_layout(layer: nn.Module) -> nn.Module:
    """The weight stored column by column."""
    layer.weight = nn.Parameter(layer.weight.detach().T.clone().T)  # type: ignore[operator, union-attr]
    return layer


Layers = dict[str, Callable[[], nn.Module]]

VECTOR: Layers = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "no bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "odd layout": lambda: odd_layout(nn.Linear(WIDTH, WIDTH)),
    "frozen weight": lambda: frozen(nn.Linear(WIDTH, WIDTH), "weight"),
    "frozen bias": lambda: frozen(nn.Linear(WIDTH, WIDTH), "bias"),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "parametrised": lambda: parametrize.register_parametrization(nn.Linear(WIDTH, WIDTH), "weight", Do(torch.tanh)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH)),
    "adapter": Adapter,
    "transposed": lambda: Computed(lambda w: w.T),
    "flipped": lambda: Computed(lambda w: w.flip(0)),
    "detached": lambda: Computed(lambda w: w.detach()),
    "reshaped": lambda: Computed(lambda w: w.reshape(-1).view(w.shape)),
    "reversed": lambda: Computed(Reversed.apply),
    "cloned": lambda: Computed(lambda w: w.clone()),
    "scaled weight": lambda: Computed(lambda w: 2 * w),
    "hook": hooked_linear,
    "twice": lambda: Twice(nn.Linear(WIDTH, WIDTH)),
    "tied": lambda: Shared(True),
    "one place": lambda: Shared(False),
    "factor": Scaled,
    "experts": Experts,
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "layer norm, no bias": lambda: nn.LayerNorm(WIDTH, bias=False),
    "layer norm, frozen": lambda: frozen(nn.LayerNorm(WIDTH), "weight"),
    "rms norm": lambda: nn.RMSNorm(WIDTH),
    "bilinear": lambda: Do(lambda x: x * x.flip(-1)),
}
SEQUENCE: Layers = {
    **VECTOR,
    "positions first": PositionsFirst,
    "attention": lambda: Attention(True),
    "attention, positions first": lambda: Attention(False),
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "layer norm over all": lambda: nn.LayerNorm([LENGTH, WIDTH]),
    "conv1d": lambda: nn.Conv1d(LENGTH, LENGTH, 3, padding=1),
    "turned": lambda: Do(lambda x: x.transpose(1, 2)),
    "strided": lambda: Do(lambda x: x.transpose(1, 2).contiguous().transpose(1, 2)),
    "over the batch": lambda: Do(lambda x: x + 0.0 * x.flatten(0, 1).view_as(x)),
}
CHANNELS = 4
IMAGE: Layers = {
    **{
        f"conv {mode}": lambda mode=mode: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode=mode)
        for mode in ("zeros", "circular", "reflect", "replicate")
    },
    "conv same": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding="same"),
    "conv uneven": lambda: nn.Conv2d(CHANNELS, CHANNELS, (1, 3), padding=(0, 2), dilation=(1, 2)),
    "conv groups": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=2),
    "conv depthwise": lambda: nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1, groups=CHANNELS),
    "conv, no bias": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
    "conv, frozen weight": lambda: frozen(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), "weight"),
    "conv pointwise": lambda: nn.Conv2d(CHANNELS, CHANNELS, 1),
    "conv weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)),
    "conv standardised": lambda: Standardised(CHANNELS, CHANNELS, 3, padding=1),
    "conv twice": lambda: Twice(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)),
    "own conv": lambda: Convolution(CHANNELS, CHANNELS, 3, padding=1),
    "own conv, pooled": lambda: nn.Sequential(
        PooledConvolution(CHANNELS, CHANNELS, 3, padding=1), nn.Upsample(scale_factor=2)
    ),
    "conv transposed": lambda: nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, padding=1),
    "group norm": lambda: nn.GroupNorm(2, CHANNELS),
    "instance norm": lambda: nn.InstanceNorm2d(CHANNELS, affine=True),
    "layer norm": lambda: nn.LayerNorm([CHANNELS, 4, 4]),
    "channels last": lambda: Do(channels_last),
    "memory format": lambda: Do(lambda x: x.contiguous(memory_format=torch.channels_last)),
    "turned": lambda: Do(lambda x: x.transpose(2, 3)),
    "strided": lambda: Do(lambda x: x.transpose(1, 3).contiguous().transpose(1, 3)),
    "pooled": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)),
}


class Tokens(nn.Module):
    """Words of a small book, by one of several embeddings; the input holds the words as numbers."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "bag":
            self.inner: nn.Module = nn.EmbeddingBag(5, WIDTH, mode="sum")
        else:
            self.inner = nn.Embedding(5, WIDTH, padding_idx=0 if kind == "padding" else None)

    def forward(self, x: Tensor) -> Tensor:
        words = (x.flatten(1).abs() * 3).long() % 5
        found: Tensor = self.inner(words)
        return found[:, None].expand(-1, LENGTH, -1) if self.kind == "bag" else found[:, :LENGTH]


def flat(inner: list[nn.Module], width: int) -> nn.Module:
    return nn.Sequential(*inner, nn.Flatten(), nn.Linear(width, CLASSES))


@st.composite
def models(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...], str]:
    """A module in float64, the shape of a record, and what it is made of."""
    domain = draw(st.sampled_from(["vector", "sequence", "image", "tokens"]))
    table = {"vector": VECTOR, "sequence": SEQUENCE, "image": IMAGE, "tokens": SEQUENCE}[domain]
    names = draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=3))
    between = draw(st.sampled_from([nn.Tanh, nn.ReLU, nn.Identity]))
    with seeds.torch_scope(draw(st.integers(0, 99)), "model"):
        inner: list[nn.Module] = []
        if domain == "tokens":
            inner.append(Tokens(draw(st.sampled_from(["plain", "padding", "bag"]))))
        for name in names:
            inner += [table[name](), between()]
            if name == "conv depthwise":
                inner.append(Do(lambda x: x[:, ::2]))
        shape = {"vector": (WIDTH,), "image": (CHANNELS, 4, 4)}.get(domain, (LENGTH, WIDTH))
        module = flat(inner, torch.Size(shape).numel()).double().train()
    return module, shape, f"{domain}: {', '.join(names)}"


def cross_entropy(labels: Tensor) -> Losses:
    return lambda out, at: F.cross_entropy(out, labels[at], reduction="none")


def squares(labels: Tensor) -> Losses:
    return lambda out, at: (out - F.one_hot(labels[at], CLASSES)).square().sum(dim=1)


def hinge(labels: Tensor) -> Losses:
    return lambda out, at: (1 - out.gather(1, labels[at][:, None])[:, 0]).clamp_min(0)


@given(models(), st.sampled_from([cross_entropy, squares, hinge]), st.sampled_from([0, 1, 2, 4, 5]), st.integers(0, 99))
@settings(max_examples=MODELS, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_engine_covers_or_refuses(
    compare: Compare,
    model: tuple[nn.Module, tuple[int, ...], str],
    loss: Callable[[Tensor], Losses],
    rows: int,
    seed: int,
) -> None:
    module, shape, _ = model
    draw = seeds.generator(seed, "batch")
    for number in (rows, 3):
        x = torch.randn(number, *shape, generator=draw, dtype=torch.float64)
        compare(module, x, loss(torch.randint(CLASSES, (number,), generator=draw)))


@pytest.mark.parametrize("how", ["a bias is lost", "a weight is turned round", "rows change places"])
def test_a_wrong_engine_fails(judged: Callable[..., str], how: str) -> None:
    """The comparison sees what it is there to see."""

    def bent(batch: Batch, bound: float) -> Clipped:
        found = one_by_one(batch, bound)
        weight, bias = batch.parameters[0], batch.parameters[1]
        if how == "a bias is lost":
            found.total[bias] = torch.zeros_like(bias)
        if how == "a weight is turned round":
            found.total[weight] = found.total[weight].T
        return Clipped(found.total, found.norms.flip(0) if how == "rows change places" else found.norms)

    with seeds.torch_scope(0, "bent"):
        module = flat([nn.Linear(WIDTH, WIDTH), nn.Tanh()], WIDTH).double()
    x = torch.randn(3, WIDTH, generator=seeds.generator(0, "bent"), dtype=torch.float64)
    losses = cross_entropy(torch.tensor([0, 1, 2]))
    assert judged(one_by_one, module, x, losses) == "covered"
    with pytest.raises(AssertionError):
        judged(bent, module, x, losses)
