"""A wire made by hand: what clients would have sent, and what an adversary brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Dataset
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.models.build import build as build_model
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Seed, Workbench
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.transcript import MemoryStore, PublicFold, Transcript

CLIENTS, CLASSES, WIDTH = 2, 4, 6
AUXILIARY = 50


class HandMade:
    """Two clients with ``n`` candidates each, coins, an adversary's knowledge, and rounds as they are told."""

    def __init__(self, n: int, public: int, attack: Mapping[str, Any]) -> None:
        draw = np.random.default_rng(3)
        self.draw = draw
        total = CLIENTS * n + AUXILIARY + public
        x, y = draw.normal(size=(total, WIDTH)).astype(np.float32), draw.integers(0, CLASSES, total)
        self.candidates = np.arange(CLIENTS * n)
        self.auxiliary = np.arange(CLIENTS * n, CLIENTS * n + AUXILIARY)
        self.public = np.arange(CLIENTS * n + AUXILIARY, total)
        self.owner = np.repeat(np.arange(CLIENTS), n)
        self.coins = draw.random(CLIENTS * n) < 0.5
        dataset = Dataset("made-up", x, y, x[:10], y[:10], tuple("abcd"), "0")
        settings = {"clients": CLIENTS, "attack": {"attacks": ("membership",), **attack}}
        config = build(RunConfig, settings, "test")

        def module(name: str, seed: Seed) -> nn.Module:
            root, key = seed
            return build_model(name, (WIDTH,), CLASSES, "softmax", root, *key)

        self.bench = Workbench(module, config.training)
        wire = resolve(config).wire
        self.knowledge = Knowledge(config.attack, 1, dataset, self.candidates, self.auxiliary, self.bench, wire=wire)
        self.store = MemoryStore()

    def sure(self, records: np.ndarray[Any, Any], client: int, of: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Probabilities [N, C] of a client that is surer of its own candidates where ``of`` (by id) is True."""
        labels = self.knowledge.dataset.y_train[records]
        planted = np.zeros(len(self.knowledge.dataset.y_train), dtype=bool)
        planted[self.candidates] = of & (self.owner == client)
        right = np.where(planted[records], 0.97, 0.5) + self.draw.normal(scale=0.01, size=len(records))
        p = np.repeat((1 - right)[:, None] / (CLASSES - 1), CLASSES, axis=1)
        p[np.arange(len(records)), labels] = right
        return p

    def transcript(
        self, rounds: Mapping[int, np.ndarray[Any, Any]], said: Callable[[np.ndarray[Any, Any], int], Any], form: Any
    ) -> Transcript:
        """Each client sends ``said(records, client)`` about the fold of each round; the server relays it to others."""
        messages, folds = [], []
        for number, records in rounds.items():
            channel = Channel(number, self.store)
            for client in range(CLIENTS):
                told = Predictions(torch.as_tensor(said(records, client)), form)
                copy = channel.send(client_name(client), SERVER, told)
                others = [client_name(k) for k in range(CLIENTS) if k != client]
                channel.send(SERVER, others, copy, f"of {client_name(client)}")
            messages += channel.messages
            folds.append(PublicFold(number, records, True, 0, CLIENTS))
        return Transcript(tuple(messages), tuple(folds), self.store)


@pytest.fixture
def hand_made() -> Callable[..., HandMade]:
    """Builds a wire: ``hand_made(1300, attack={"statistics": ("loss",)})``."""

    def make(n: int = 40, public: int = 60, attack: Mapping[str, Any] | None = None) -> HandMade:
        return HandMade(n, public, attack or {})

    return make


@pytest.fixture
def drawn_signals() -> Callable[[int], Signals]:
    """Random predictions of a target and six references, two of which trained on no candidate, over some rounds."""

    def make(rounds: int) -> Signals:
        draw = np.random.default_rng(rounds)

        def predictions(*shape: int) -> np.ndarray:
            z = draw.normal(size=(*shape, 3))
            return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

        included = draw.random((6, 30)) < 0.5
        included[4:] = False
        seen = np.ones((rounds, 30), dtype=bool)
        references = References(predictions(6, rounds, 30), included)
        return Signals(predictions(rounds, 30), seen, seen, draw.integers(0, 3, 30), references)

    return make
