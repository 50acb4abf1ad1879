"""Every protocol at its defaults on real records that are hard on it: clients with one class each, rows of features.

`fedprivacy reproduce protocol-checks` does the same with any data set and more architectures.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprivacy import seeds
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.tested import scored
from fedprivacy.study.resolve import resolve

FEATURES = Path(__file__).parents[3] / "shared" / "data" / "location30.npz"
SHORT: dict[str, dict[str, Any]] = {"feddf": {"steps": 50, "patience": 50}}


def configuration(protocol: str, data: dict[str, Any]) -> RunConfig:
    sizes = {"candidates": 20, "inclusion": 1.0, "auxiliary": 0, "public_size": 20, "public_set": "static"}
    skew = {"partition": "shards", "classes_per_client": 1}
    return RunConfig.model_validate(
        {
            "protocol": protocol,
            "options": SHORT.get(protocol, {}),
            "clients": 3,
            "rounds": 2,
            "data": {**sizes, **skew, **data},
            "training": {"local_epochs": 1},
        }
    )


@functools.cache
def prepared(source: str) -> Environment:
    data = {"dataset": "digits"} if source == "digits" else {"dataset": "npz", "data_dir": str(FEATURES)}
    env, _ = resolve(configuration("local", data)).environment(0)
    few = seeds.numpy_generator(0, "test", "tested").permutation(len(env.dataset.y_test))[:100]
    dataset = replace(env.dataset, x_test=env.dataset.x_test[few], y_test=env.dataset.y_test[few])
    return replace(env, dataset=dataset)


@pytest.mark.parametrize("source", ["digits", "location30"])
@pytest.mark.parametrize("name", CARDS)
def test_stays_finite_where_every_client_has_one_class(name: str, source: str, tmp_path: Path) -> None:
    if source == "location30" and not FEATURES.exists():
        pytest.skip("the folder ../shared/data with location30.npz is not there")
    whole = prepared(source)
    config = configuration(name, whole.settings.data.model_dump())
    env, protocol = replace(whole, settings=FederationSettings.of(config)), resolve(config).protocol
    done = engine.run(protocol, env, tmp_path)
    assert all(math.isfinite(row.loss) for row in done.history)
    for part, content in done.state.parts.items():
        assert all(bool(torch.isfinite(t).all()) for t in content.values()), part
    results = scored(protocol.models(done.state, env), env)
    assert results and all(0 <= row["own_accuracy"] <= 1 and math.isfinite(row["loss"]) for row in results.values())
