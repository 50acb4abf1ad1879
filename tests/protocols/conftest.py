"""Tiny federations on made-up records, so that every protocol runs in a moment and oracles stay readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy import catalog, seeds
from fedprivacy.config.base import build
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Dataset, Division
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import FederatedProtocol
from fedprivacy.training.learner import Seed, Workbench

CLASSES, WIDTH = 3, 5


class Tiny(nn.Module):
    """One hidden layer, with what the protocols ask of an architecture."""

    deep: ClassVar[tuple[str, ...]] = ("head.",)

    def __init__(self, hidden: int, outputs: int, linear: bool) -> None:
        super().__init__()
        self.feature_size, self.linear = hidden, linear
        self.hidden = nn.Linear(WIDTH, hidden, bias=not linear)
        self.head = nn.Linear(hidden, outputs, bias=not linear)

    def features(self, x: Tensor) -> Tensor:
        h: Tensor = self.hidden(x)
        return h if self.linear else torch.relu(h)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class Normed(Tiny):
    """The same with batch normalisation, whose buffers and counters travel too."""

    def __init__(self, outputs: int) -> None:
        super().__init__(6, outputs, False)
        self.norm = nn.BatchNorm1d(6)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.hidden(x)))


class World:
    """A configuration, its environment, and the protocol, on made-up records."""

    def __init__(self, where: Path, sizes: tuple[int, ...], classes: int, same: bool, settings: dict[str, Any]) -> None:
        base: dict[str, Any] = {
            "clients": len(sizes),
            "rounds": 3,
            "data": {"inclusion": 1.0},
            "training": {"model": "tiny", "local_epochs": 2, "batch_size": 4, "lr": 0.01},
        }
        for name, value in settings.items():
            base[name] = {**base.get(name, {}), **value} if isinstance(value, dict) else value
        self.where, self.runs = where, 0
        self.config = build(RunConfig, base, "test")
        draw = np.random.default_rng(7)
        needed = sum(sizes) + 16 * self.config.rounds + 3 * len(sizes)
        made = 600  # whatever the rounds, the first records are the same
        y = draw.integers(0, classes, made)
        x = (draw.normal(size=(classes, WIDTH))[y] * 2 + draw.normal(size=(made, WIDTH))).astype(np.float32)
        if same:
            x[: sum(sizes)] = np.tile(x[: sizes[0]], (len(sizes), 1))
            y[: sum(sizes)] = np.tile(y[: sizes[0]], len(sizes))
        ids = np.split(np.arange(needed), np.cumsum([*sizes, *[16] * self.config.rounds, *[3] * len(sizes)])[:-1])
        members = tuple((part,) for part in ids[: len(sizes)])
        public = tuple(ids[len(sizes) : len(sizes) + self.config.rounds])
        held = tuple((part,) for part in ids[len(sizes) + self.config.rounds :])
        nobody = np.array([], dtype=np.int64)
        division = Division(nobody, members, held, public, nobody)
        names = tuple(map(str, range(classes)))
        self.dataset = Dataset("made-up", x, y, x[:40], y[:40], names, "0")
        outputs = 1 if self.config.training.output == "sigmoid" else classes

        def module(name: str, seed: Seed) -> nn.Module:
            root, key = seed
            with seeds.torch_scope(root, *key):
                if name == "normed":
                    return Normed(outputs)
                hidden, linear = {
                    "tiny": (6, False),
                    "slim": (4, False),
                    "line": (4, True),
                    "short": (3, True),
                    "mid": (40, False),
                }[name]
                return Tiny(hidden, outputs, linear)

        bench = Workbench(module, self.config.training)
        known = FederationSettings.of(self.config)
        self.env = Environment(known, self.config.seed, self.dataset, division, members, bench)

    @property
    def protocol(self) -> FederatedProtocol:
        return catalog.protocol(self.config.protocol, self.config.options)

    def run(self, env: Environment | None = None) -> engine.Federation:
        """The whole federation, in a new folder."""
        self.runs += 1
        return engine.run(self.protocol, env or self.env, self.where / str(self.runs))


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """Builds a world: ``world("fedavg", {"weighting": "uniform"}, sizes=(8, 12), training={...}, rounds=2)``."""
    made = 0

    def make(
        protocol: str,
        options: dict[str, Any] | None = None,
        sizes: tuple[int, ...] = (8, 12, 10),
        classes: int = CLASSES,
        same: bool = False,
        **settings: Any,
    ) -> World:
        nonlocal made
        made += 1
        settings = {"protocol": protocol, "options": options or {}, **settings}
        return World(tmp_path / str(made), sizes, classes, same, settings)

    return make
