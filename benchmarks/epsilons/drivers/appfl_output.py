"""APPFL's output perturbation, as its trainer applies it after local training.

Laplace noise of scale 2 * clip_value * lr / epsilon on the trained weights: the price of one clipped step. Training
takes many, and clips only where ``clip_grad`` is on, in the norm ``clip_norm``, where Laplace noise needs the L1 norm;
Adam steps by its own length. Two neighbouring inputs are two local data sets that differ in one record. The records
are drawn, so the closed form is the privacy loss between these two sets; the worst pair has more. It grows with the
model, the records and the epochs: here 68 weights, 32 records of which one is turned round and ten times as long, and
the epochs of each row, so that figures of another pair differ while their order stays.
"""

from __future__ import annotations

import logging
import sys
import types

import numpy as np
import torch

# Logs alone, and an installation of its own.
sys.modules["wandb"] = types.ModuleType("wandb")

from appfl.algorithm.trainer.vanilla_trainer import VanillaTrainer  # noqa: E402
from case import Case  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

RECORDS, FEATURES, CLASSES, RATE = 32, 16, 4, 0.01
generator = torch.Generator().manual_seed(0)
X = torch.randn(RECORDS, FEATURES, generator=generator)
Y = torch.randint(CLASSES, (RECORDS,), generator=generator)
OTHER_X, OTHER_Y = X.clone(), Y.clone()
OTHER_X[0], OTHER_Y[0] = -10 * X[0], (Y[0] + 1) % CLASSES
SETS = (TensorDataset(X, Y), TensorDataset(OTHER_X, OTHER_Y))


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, _name):
        return lambda *_args, **_more: None


def trainer(data: TensorDataset, **settings) -> VanillaTrainer:
    model = torch.nn.Linear(FEATURES, CLASSES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    asked = {
        "mode": "epoch",
        "num_local_epochs": 10,
        "optim": "SGD",
        "optim_args": {"lr": RATE},
        "train_batch_size": RECORDS,
        "train_data_shuffle": False,
        "use_dp": True,
        "epsilon": 1.0,
        "clip_grad": False,
        "clip_value": 1.0,
        "clip_norm": 1.0,
        "device": "cpu",
        **settings,
    }
    return VanillaTrainer(
        model=model,
        loss_fn=torch.nn.CrossEntropyLoss(),
        metric=lambda _true, _found: 0.0,
        train_dataset=data,
        train_configs=OmegaConf.create(asked),
        logger=Quiet(),
    )


def trained(settings: dict):
    """The weights that leave the client, as its privacy loss sees them: along the sign of how the two sets differ."""
    ends = [flat(trainer(data, **{**settings, "use_dp": False})) for data in SETS]
    gap = ends[1] - ends[0]

    def sent(which: np.ndarray) -> np.ndarray:
        return flat(trainer(SETS[int(which[0])], **settings))

    return sent, float(np.abs(gap).sum())


def flat(one: VanillaTrainer) -> np.ndarray:
    one.train()
    return np.concatenate([value.double().numpy().reshape(-1) for value in one.model_state.values()])


def case(name: str, calls: int, **settings) -> Case:
    sent, far = trained(settings)
    scale = 2 * RATE * 1.0 / 1.0
    return Case(
        f"laplace_mechanism_output_perturb, {name}",
        sent,
        np.zeros(1),
        np.ones(1),
        1.0,
        0.0,
        "epsilon=1, clip_value=1, clip_norm=1",
        "record, replace-one (these two sets)",
        calls,
        pure=far / scale,
        honest=far <= scale,
    )


logging.disable(logging.CRITICAL)
CLIPPED = {"clip_grad": True}
CASES = [
    case("one clipped epoch", 3_000, **CLIPPED, num_local_epochs=1),
    case("100 clipped epochs", 600, **CLIPPED, num_local_epochs=100),
    case("100 epochs as shipped, no clip", 600, num_local_epochs=100),
    case("100 epochs of Adam", 400, num_local_epochs=100, optim="Adam"),
]
