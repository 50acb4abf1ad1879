"""Clients with different label sets and outputs of their own (Shen et al. 2020: different tasks)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.tested import scored
from fedprivacy.models.build import build as build_model
from fedprivacy.models.own_head import name_of, split
from fedprivacy.study.resolve import resolve
from fedprivacy.training.distillation import fedkd_loss, fml_losses, profe_loss
from fedprivacy.wire.payload import Update, Weights

ABLE = ("fml", "fedkd", "fedproto", "profe", "local")


def settings(protocol: str, **training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "protocol": protocol,
            "clients": 3,
            "rounds": 2,
            "data": {
                "dataset": "digits",
                "partition": "tasks",
                "classes_per_client": 4,
                "candidates": 60,
                "inclusion": 1.0,
                "public_size": 0,
                "auxiliary": 0,
            },
            "training": {"model": "mlp-small", "heads": "own", **training},
        }
    )


@pytest.mark.parametrize("protocol", ABLE)
def test_each_client_has_outputs_for_its_own_classes_alone(protocol: str, tmp_path: Path) -> None:
    config = settings(protocol)
    resolve(config)
    env, _ = resolve(config).environment(0)
    made = resolve(config).protocol
    made.check(env)
    done = engine.run(made, env, tmp_path)
    models = made.models(done.state, env)
    for client in range(3):
        name, weights = models[f"client-{client}"]
        classes = env.classes(client)
        assert split(name)[1] == classes and 2 <= len(classes) <= 4
        assert weights["head.weight"].shape[0] == len(classes)
        logits = env.workbench.logits(name, weights, env.dataset.x_test)
        assert torch.isfinite(logits).sum(dim=1).unique().tolist() == [len(classes)]
        assert np.isin(logits.argmax(dim=1).numpy(), classes).all()
    for owner, values in scored(models, env).items():
        assert all(np.isfinite(value) for value in values.values())
        assert values["own_accuracy"] > 0.25 or owner == "server"


@pytest.mark.parametrize("protocol", ["fml", "fedkd", "profe"])
def test_what_travels_has_every_output(protocol: str, tmp_path: Path) -> None:
    config = settings(protocol)
    env, _ = resolve(config).environment(0)
    done = engine.run(resolve(config).protocol, env, tmp_path)
    sent = [done.transcript.payload(m) for m in done.transcript.messages if m.kind in (Weights.kind, Update.kind)]
    shapes = {p.tensors["head.weight"].size(0) for p in sent if "head.weight" in p.tensors}  # type: ignore[attr-defined]
    assert shapes == {10}


def test_the_divergence_is_over_the_common_classes() -> None:
    """Against torch's own functions on logits cut by hand."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    own, columns = torch.randn(6, 3, generator=generator, dtype=torch.float64), [0, 2, 4]
    wide = torch.full((6, 5), -torch.inf, dtype=torch.float64)
    wide[:, columns] = own
    labels = torch.tensor([0, 2, 4, 0, 2, 4])
    narrow = torch.tensor([0, 1, 2, 0, 1, 2])
    log_p, log_m = own.log_softmax(1), common[:, columns].log_softmax(1)
    to_private = functional.kl_div(log_p, log_m, reduction="batchmean", log_target=True)
    to_meme = functional.kl_div(log_m, log_p, reduction="batchmean", log_target=True)
    of_own, of_meme = fml_losses(wide, common, labels, 0.3, 0.6)
    assert of_own.item() == pytest.approx(0.3 * functional.cross_entropy(own, narrow).item() + 0.7 * to_private.item())
    assert of_meme.item() == pytest.approx(0.6 * functional.cross_entropy(common, labels).item() + 0.4 * to_meme.item())
    supervised = functional.cross_entropy(own, narrow) + functional.cross_entropy(common, labels)
    joint = fedkd_loss(wide, common, labels)
    assert joint.item() == pytest.approx((supervised + (to_private + to_meme) / supervised).item())
    taught = profe_loss(common, wide, common, common, torch.zeros(()), 1.0, 0.0, 1.0)
    assert taught.item() == pytest.approx(to_meme.item())


def test_a_gradient_reaches_the_outputs_that_are_there_and_no_nan() -> None:
    module = build_model(name_of("mlp-small", (1, 3)), (1, 8, 8), 5, "softmax", 0, "test")
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    functional.cross_entropy(module(x), torch.tensor([1, 3, 1, 3])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.parametrize(
    ("protocol", "changes", "words"),
    [
        ("fedavg", {}, "own ones work with fml"),
        ("mutual", {}, "merges models or compares predictions"),
        ("fml", {"data": {"partition": "iid"}}, "needs label sets"),
        ("fml", {"defense": {"name": "dp-sgd", "epsilon": 4.0}}, "another defense than dp-sgd"),
        ("fml", {"training": {"output": "sigmoid"}}, "softmax"),
    ],
)
def test_a_mistake_is_one_line(protocol: str, changes: dict[str, Any], words: str) -> None:
    content = settings(protocol).model_dump(mode="json")
    for part, values in changes.items():
        content[part] |= values
    with pytest.raises(UsageError) as caught:
        resolve(build(RunConfig, content, "settings"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_one_class_is_no_task() -> None:
    config = settings("fml")
    one = config.model_copy(update={"data": config.data.model_copy(update={"classes_per_client": 1})})
    env, _ = resolve(one).environment(0)
    with pytest.raises(UsageError, match="client 0 holds one class"):
        resolve(one).protocol.init(env)
