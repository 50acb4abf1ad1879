"""The batches of a fit, told beforehand: what a fit visits is what ``passes`` says for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.federation.phases import fit_private, load, start
from fedprivacy.study.resolve import resolve
from fedprivacy.training.losses import cross_entropy
from fedprivacy.training.passes import passes

Configure = Callable[..., Any]
SEED = (3, ("client", 1, "round", 2, "private"))


@pytest.mark.parametrize(("steps", "expected"), [(None, 6), (1, 1), (3, 3), (7, 7)])
def test_passes_count_steps_and_cover_the_records(steps: int | None, expected: int) -> None:
    taken = [rows[part] for rows, parts in passes(10, 4, 2, SEED, steps) for part in parts]
    assert len(taken) == expected
    first = torch.cat(taken[:3])
    assert len(first) == len(set(first.tolist())) and max(map(len, taken)) == 4
    if steps is None:
        assert sorted(first.tolist()) == list(range(10)) and first.tolist() != torch.cat(taken[3:]).tolist()


@pytest.mark.parametrize("local_steps", [None, 1, 5])
def test_a_fit_visits_what_passes_tells(small_config: Configure, local_steps: int | None) -> None:
    config = small_config(protocol="fedavg", training={"local_steps": local_steps, "batch_size": 7})
    env, _ = resolve(config).environment(0)
    seen: list[list[int]] = []

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        seen.append(rows.tolist())
        return cross_entropy(logits, labels)

    state = start(env).state
    fit_private(load(env, state, 1), env, 1, 2, loss)
    number = len(env.private(1, 2))
    seed = (env.root, ("client", 1, "round", 2, "private"))
    told = [rows[part].tolist() for rows, parts in passes(number, 7, 1, seed, local_steps) for part in parts]
    assert seen == told and len(told) == (local_steps or int(np.ceil(number / 7)))


def test_private_training_counts_epochs(small_config: Configure) -> None:
    config = small_config(
        protocol="fedavg", training={"local_steps": 1}, defense={"name": "dp-sgd", "sigma": 1.0}, attack={"attacks": ()}
    )
    with pytest.raises(UsageError, match="local-steps"):
        resolve(config)
