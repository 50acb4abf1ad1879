"""Records that a model cannot read, and outputs that make no sense, are one kind line each."""

from __future__ import annotations

from typing import Any

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.models.build import build


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cnnn", (1, 28, 28), 10, "softmax"), "No model 'cnnn' exists. Did you mean 'cnn'?"),
        (("cnn", (446,), 30, "softmax"), "rows of 446 features; use training.model = 'mlp'"),
        (("resnet18", (14,), 2, "softmax"), "rows of 14 features"),
        (
            ("gupta-cnn", (3, 17, 100), 2, "sigmoid"),
            "needs images of at least 18x18 pixels, and these are 17x100; use mlp or mlp-small or cnn or "
            "lenet-sigmoid or resnet18",
        ),
        (("cnn", (1, 7, 7), 10, "softmax"), "7x7; use mlp or mlp-small or lenet-sigmoid, or a larger data.image_size"),
        (("resnet18", (1, 4, 4), 10, "softmax"), "at least 8x8"),
        (("lenet-sigmoid", (1, 3, 3), 10, "softmax"), "use mlp or mlp-small, or a larger"),
        (("mlp", (28, 28), 10, "softmax"), "neither images [channels, height, width] nor rows of features [d]"),
        (("mlp", (), 10, "softmax"), "shape [] are neither"),
        (("mlp", (0,), 10, "softmax"), "shape [0] are neither"),
        (("mlp", (5,), 1, "softmax"), "1 class; a classifier needs at least two"),
        (("mlp", (5,), 10, "sigmoid"), "one number for two classes, and these records have 10; use 'softmax'"),
        (("mlp", (5,), 2, "tanh"), "no output 'tanh' exists"),
    ],
)
def test_one_line_says_what_is_wrong(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(*arguments, 0, "test")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "side"),
    [("cnn", 8), ("gupta-cnn", 18), ("lenet-sigmoid", 4), ("resnet18", 8), ("mlp", 1), ("mlp-small", 1)],
)
def test_the_smallest_size_named_is_accepted(name: str, side: int) -> None:
    assert build(name, (1, side, side), 2, "softmax", 0, "test").get_submodule("head") is not None
