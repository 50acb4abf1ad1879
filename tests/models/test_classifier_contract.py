"""What every architecture promises, over a grid of record shapes and numbers of classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedprivacy import seeds
from fedprivacy.models.build import build
from fedprivacy.models.contract import Classifier, classifier
from fedprivacy.models.names import MODELS

SMALLEST = {"mlp": 1, "mlp-small": 1, "cnn": 8, "gupta-cnn": 18, "lenet-sigmoid": 4, "resnet18": 8}
LIGHT = sorted(set(MODELS) - {"resnet18"})


def _records(shape: tuple[int, ...], rows: int = 3) -> torch.Tensor:
    return torch.rand(rows, *shape, generator=seeds.generator(0, "test", "records"))


def _hold(name: str, shape: tuple[int, ...], classes: int, rows: int) -> None:
    model = classifier(build(name, shape, classes, "softmax", 0, "test"))
    assert isinstance(model, nn.Module)
    model.eval()
    x = _records(shape, rows)
    kept = x.clone()
    logits, features = model(x), model.features(x)
    assert logits.shape == (rows, classes) and logits.dtype == torch.float32
    assert features.shape == (rows, model.feature_size)
    assert torch.equal(model.head(features), logits)
    assert torch.isfinite(logits).all() and torch.equal(x, kept)


@settings(max_examples=25)
@given(data=st.data(), name=st.sampled_from(LIGHT))
def test_shapes_of_images(data: st.DataObject, name: str) -> None:
    side = st.integers(SMALLEST[name], SMALLEST[name] + 25)
    shape = (data.draw(st.integers(1, 4)), data.draw(side), data.draw(side))
    _hold(name, shape, data.draw(st.integers(2, 12)), data.draw(st.integers(1, 4)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 9), (3, 65, 8)])
def test_shapes_of_images_resnet(shape: tuple[int, ...]) -> None:
    _hold("resnet18", shape, 3, 2)


@settings(max_examples=10)
@given(width=st.integers(1, 500), classes=st.integers(2, 40))
def test_shapes_of_features(width: int, classes: int) -> None:
    _hold("mlp", (width,), classes, 3)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_output_for_two_classes(name: str) -> None:
    model = build(name, (3, 20, 20), 2, "sigmoid", 0, "test").eval()
    assert model(_records((3, 20, 20))).shape == (3, 1)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_both_groups_exist_and_the_head_is_deep(name: str) -> None:
    model = classifier(build(name, (3, 20, 20), 4, "softmax", 0, "test"))
    names = [parameter for parameter, _ in model.named_parameters()]  # type: ignore[attr-defined]
    deep = [parameter for parameter in names if parameter.startswith(model.deep)]
    assert 0 < len(deep) < len(names)
    assert {"head.weight", "head.bias"} <= set(deep)
    assert all(any(parameter.startswith(prefix) for parameter in names) for prefix in model.deep)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_all_state_is_trained_parameters_in_the_default_layout(name: str) -> None:
    model = build(name, (3, 20, 20), 4, "softmax", 0, "test")
    assert not list(model.buffers())
    assert all(p.requires_grad and p.is_contiguous() and p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_record_is_judged_alone(name: str) -> None:
    model = build(name, (3, 20, 20), 4, "softmax", 0, "test").eval()
    x = _records((3, 20, 20), 5)
    alone = torch.cat([model(row[None]) for row in x])
    torch.testing.assert_close(model(x), alone, rtol=1e-4, atol=1e-5)


def test_a_module_without_the_contract_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear has no features"):
        classifier(nn.Linear(2, 2))
    assert not isinstance(nn.Linear(2, 2), Classifier)
