"""Following a federation changes nothing in it, and says the losses that were there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.federation import engine
from fedprivacy.reporting.figures.epochs import epochs_figure, places
from fedprivacy.study.paper.curves import HEADS, LOOKS, Followed, follow, to_markdown
from fedprivacy.study.resolve import resolve
from fedprivacy.training.losses import cross_entropy
from fedprivacy.wire.codec import same_bits


@pytest.fixture
def config(small_config: Callable[..., Any]) -> Any:
    return small_config(protocol="mutual", rounds=3, data={"schedule": "fresh", "candidates": 30, "inclusion": 1.0})


def test_what_is_followed_is_the_same_federation(config: Any, tmp_path: Path) -> None:
    study = resolve(config)
    env, _ = study.environment(config.seed)
    plain = engine.run(study.protocol, env, tmp_path / "plain")
    watched = Followed.of(env)
    seen = engine.run(study.protocol, watched, tmp_path / "seen")
    assert all(same_bits(part, seen.state.parts[name]) for name, part in plain.state.parts.items())
    assert plain.history == seen.history
    ends = [look for look in watched.looks if (look.round, look.phase, look.when) == (3, "public", "after")]
    every = np.linspace(0, len(env.dataset.y_test) - 1, min(500, len(env.dataset.y_test))).astype(int)
    for client in range(env.clients):
        logits = env.workbench.logits("mlp", seen.state.parts[f"client-{client}/model"], env.dataset.x_test[every])
        loss = float(cross_entropy(logits, torch.from_numpy(env.dataset.y_test[every])))
        (look,) = [one for one in ends if one.client == client]
        assert look.on == "test" and look.loss == pytest.approx(loss, rel=1e-5)


def test_its_curve_is_read_again_and_drawn(config: Any, tmp_path: Path) -> None:
    one, again = (follow("C", "mutual", config, tmp_path) for _ in range(2))
    assert one == again
    assert {phase for _, phase, *_ in one.trained} == {"private", "public"}
    assert one.looks[2, "private", "after", "own"] < one.looks[2, "private", "before", "test"]
    assert (1, "private", "before", "last") not in one.looks and (2, "private", "before", "last") in one.looks
    told = to_markdown([one])
    assert told.count("|") == 3 * (len(HEADS) + len(LOOKS) + 2) and f"{one.epoch('private', -1):.3f}" in told
    x, losses = places(one.trained)
    assert x == sorted(x) and x[-1] == 3.0 and losses[-1] == one.trained[-1][-1]
    picture = epochs_figure({"C": one.trained}, {"C": one.between()}, "digits")
    assert picture.startswith(b"\x89PNG")
    assert list(one.between()) == sorted(one.between()) and len(one.between()) == 3 * 3 + 1
