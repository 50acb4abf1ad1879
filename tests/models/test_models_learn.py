"""The models learn real digits: a wrong layer order or a dead unit shows here and in no shape."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.models.build import build


@pytest.mark.parametrize(("name", "least"), [("mlp", 0.90), ("cnn", 0.95)])
def test_accuracy_on_held_out_digits(name: str, least: float) -> None:
    digits = load_digits()
    x = torch.from_numpy(digits.images).float()[:, None] / 16
    y = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(x), generator=seeds.generator(0, "digits"))
    train, test = order[:1400], order[1400:]
    model = build(name, (1, 8, 8), 10, "softmax", 0, "learn")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    for _ in range(6):
        for rows in train.split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.inference_mode():
        accuracy = float((model(x[test]).argmax(1) == y[test]).float().mean())
    assert accuracy > least


def test_dropout_only_while_training() -> None:
    model = build("gupta-cnn", (1, 18, 18), 2, "sigmoid", 0, "dropout")
    x = torch.rand(8, 1, 18, 18, generator=seeds.generator(0, "dropout"))
    with seeds.torch_scope(0, "dropout"):
        assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
