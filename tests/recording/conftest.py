"""A small recording of a loop that shares weights, and one that shares predictions."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedprivacy.face.record import deal, record
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.wire import Wire


class Net(nn.Module):
    """One hidden layer on the 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 16)
        self.out = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def trained(net: nn.Module, x: Any, y: Any, epochs: int = 3) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    for _ in range(epochs):
        for rows in torch.arange(len(x)).split(8):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
            optimizer.step()


def averaging(game: Deal, wire: Wire) -> None:
    """Federated averaging as anybody writes it."""
    shared = game.model()
    wire.started(shared)
    for t in range(1, game.rounds + 1):
        uploads = []
        for k in range(game.clients):
            net = copy.deepcopy(shared)
            trained(net, *game.private(k))
            uploads.append(wire.sent(t, f"client-{k}", "server", weights=net).tensors)
        mean = {name: torch.stack([u[name] for u in uploads]).mean(0) for name in uploads[0]}
        shared.load_state_dict(wire.sent(t, "server", wire.everyone, weights=mean).tensors)


def sharing(game: Deal, wire: Wire) -> dict[str, nn.Module]:
    """Predictions on public records, averaged and distilled."""
    nets = [game.model(k, own=True) for k in range(game.clients)]
    for t in range(1, game.rounds + 1):
        x = torch.from_numpy(game.public(t)[0])
        told = []
        for k, net in enumerate(nets):
            trained(net, *game.private(k))
            told.append(wire.sent(t, f"client-{k}", "server", probabilities=net(x).softmax(1)).values)
        mean = wire.sent(t, "server", wire.everyone, probabilities=torch.stack(told).mean(0)).values
        for net in nets:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            loss = F.kl_div(net(x).log_softmax(1), mean, reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {f"client-{k}": net for k, net in enumerate(nets)}


def small(**settings: Any) -> Deal:
    return deal(
        "digits", **{"clients": 2, "candidates": 40, "rounds": 2, "auxiliary": 20, "public_size": 15, **settings}
    )


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished recording; tests copy it before they change it."""
    where = tmp_path_factory.mktemp("recording") / "rec"
    game = small(model=Net)
    with record(where, game) as wire:
        averaging(game, wire)
    return where


@pytest.fixture
def recording(stored: Path, tmp_path: Path) -> Path:
    """A recording of one's own to change."""
    return Path(shutil.copytree(stored, tmp_path / "rec"))


@pytest.fixture
def game() -> Callable[..., Deal]:
    """Deals a small game."""
    return small
