"""Slices, layouts and the order of pooling change the speed of a model and nothing else.

Models are compared in float64: in float32 a rounding at the kink of a ReLU or a pool is another gradient, and where
that falls differs from one processor to the next.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from opacus import GradSampleModule
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.models import convolution
from fedprivacy.models.build import build
from fedprivacy.models.convolution import PooledConvolution, channels_last
from fedprivacy.models.names import MODELS

SHAPE = (3, 20, 20)
IMAGES = sorted(set(MODELS) - {"mlp"})


def _records(shape: tuple[int, ...], rows: int) -> tuple[Tensor, Tensor]:
    draw = seeds.generator(1, "test", "records")
    return torch.rand(rows, *shape, generator=draw, dtype=torch.float64), torch.randint(4, (rows,), generator=draw)


def _model(name: str, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> nn.Module:
    """Dropout would make every comparison one of random masks."""
    model = build(name, shape, 4, "softmax", seed, "test").double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _one_by_one(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Gradients of each record's loss, [B, ...] a parameter, by one backward pass a record."""
    rows = [
        torch.autograd.grad(F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]), list(model.parameters()))
        for i in range(len(x))
    ]
    return [torch.stack(gradients) for gradients in zip(*rows, strict=True)]


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(4, 11),
    st.integers(4, 11),
    st.sampled_from([1, 700, 3_000, 2**22]),
)
def test_a_sliced_pooled_convolution_is_a_convolution_then_pooling(
    rows: int, channels: int, height: int, width: int, budget: int
) -> None:
    draw = seeds.generator(0, "slices")
    layer = PooledConvolution(channels, 6, 3).double()
    x = torch.rand(rows, channels, height, width, generator=draw, dtype=torch.float64)
    expected = F.max_pool2d(F.relu(F.conv2d(x, layer.weight, layer.bias)), 2)
    parameters = [layer.weight, layer.bias]
    direction = torch.rand(expected.shape, generator=draw, dtype=torch.float64)
    wanted = torch.autograd.grad((expected * direction).sum(), parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "SLICE_BYTES", budget)
        got = F.relu(layer(channels_last(x)))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad((got * direction).sum(), parameters), wanted)


def test_relu_and_pooling_commute_exactly() -> None:
    x = torch.randn(4, 5, 12, 12, generator=seeds.generator(0, "commute"), requires_grad=True)
    before, after = F.max_pool2d(F.relu(x), 2), F.relu(F.max_pool2d(x, 2))
    assert torch.equal(before, after)
    assert torch.equal(*(torch.autograd.grad((out * out.detach().cos()).sum(), x)[0] for out in (before, after)))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_moves_no_value(channels: int) -> None:
    x = torch.rand(2, channels, 5, 7, generator=seeds.generator(0, "layout"))
    moved = channels_last(x)
    assert torch.equal(moved, x)
    assert moved.stride(1) == 1
    out = F.conv2d(moved, torch.rand(4, channels, 3, 3, generator=seeds.generator(1, "layout")))
    assert out.is_contiguous(memory_format=torch.channels_last) and not out.is_contiguous()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_in_the_layout_of_their_parameters(name: str, channels: int) -> None:
    model = _model(name, shape=(channels, 20, 20))
    x, y = _records((channels, 20, 20), 4)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    assert all(gradient.is_contiguous() for gradient in gradients)


@pytest.mark.parametrize("name", IMAGES)
def test_fused_adam_takes_gradients_that_were_computed_apart(name: str) -> None:
    x, y = _records(SHAPE, 4)
    stepped = []
    for fused in (False, True):
        model = _model(name)
        optimizer = torch.optim.Adam(model.parameters(), fused=fused)
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        stepped.append([parameter.detach().clone() for parameter in model.parameters()])
    torch.testing.assert_close(stepped[1], stepped[0], rtol=1e-7, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_per_sample_gradients_of_opacus_are_those_of_one_record_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model(name)
    x, y = _records(SHAPE, 4)
    expected = _one_by_one(model, x, y)
    monkeypatch.setattr(convolution, "SLICE_BYTES", 1)
    hooked = GradSampleModule(model, loss_reduction="sum")
    F.cross_entropy(hooked(x), y, reduction="sum").backward()
    got = [parameter.grad_sample for parameter in hooked.parameters()]
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_per_sample_gradients_by_vmap(name: str) -> None:
    model = _model(name)
    x, y = _records(SHAPE, 3)

    def loss(parameters: Mapping[str, Tensor], record: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, dict(parameters), (record[None],)), label[None])

    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    got = list(vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y).values())
    torch.testing.assert_close(got, _one_by_one(model, x, y), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_fleet_by_vmap_is_its_models_one_by_one(name: str) -> None:
    models = [_model(name, seed) for seed in range(2)]
    x, _ = _records(SHAPE, 3)
    stacked, buffers = stack_module_state(models)

    def logits(parameters: Mapping[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(models[0], (dict(parameters), buffers), (x,))
        return out

    expected = torch.stack([model(x) for model in models])
    torch.testing.assert_close(vmap(logits)(stacked), expected, rtol=1e-7, atol=1e-10)


def test_gradients_of_gradients_as_inversion_needs_them() -> None:
    x, y = _records((1, 18, 18), 2)
    for name in ("cnn", "gupta-cnn", "lenet-sigmoid"):
        model = _model(name, shape=(1, 18, 18))
        kernel = next(model.parameters())

        def squared(x: Tensor, model: nn.Module = model, kernel: Tensor = kernel) -> Tensor:
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), kernel, create_graph=True)
            return gradient.square().sum()

        point = x.requires_grad_()
        (slope,) = torch.autograd.grad(squared(point), point)
        step = 1e-6 * slope / slope.norm()
        measured = (squared(point + step) - squared(point - step)).detach() / 2e-6
        assert float(measured) == pytest.approx(float(slope.norm()), rel=1e-4)


def test_resnet_is_torchvisions_with_group_normalisation() -> None:
    from fedprivacy.torchvision_guard import import_torchvision

    shape = (3, 66, 66)
    model = _model("resnet18", shape=shape).eval()
    reference = import_torchvision().models.resnet18(norm_layer=lambda width: nn.GroupNorm(32, width), num_classes=4)
    reference = reference.double()
    renamed = {key.removeprefix("body.").replace("head.", "fc."): tensor for key, tensor in model.state_dict().items()}
    reference.load_state_dict(renamed)
    x, _ = _records(shape, 2)
    torch.testing.assert_close(model(x), reference.eval()(x))
