"""The game as the author of a federation sees it: who trains on what, and the public records.

The same game is played again in shadow federations with other coins and other secret seeds, so a loop takes its
records, its first weights and its randomness from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.config.canaries import Coins
from fedprivacy.config.run import TrainingConfig
from fedprivacy.data.coins import members_of, redraw
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.own.arrays import tensor_of
from fedprivacy.training.learner import normalised
from fedprivacy.training.optimiser import optimizer_over
from fedprivacy.training.passes import passes

Inputs = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Deal:
    """One game. Records come as a model reads them: float32, images in [0, 1] as [N, channels, height, width]."""

    env: Environment
    read: set[str] = field(default_factory=set)
    """What the author looked at of that which says how the loop trains: ``training``, ``batches``."""
    number: int | None = None
    """Which shadow federation it is; None for the target."""
    coins: Coins = "record"
    """What one coin decides."""
    target: int | None = None
    """Seed of the target federation, where this is a shadow of it."""

    @property
    def clients(self) -> int:
        """Number of clients."""
        return self.env.clients

    @property
    def rounds(self) -> int:
        """Rounds to run."""
        return self.env.rounds

    @property
    def seed(self) -> int:
        """Secret seed of this federation; a shadow federation has another."""
        return self.env.root

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        return self.env.dataset.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; labels are positions in here."""
        return self.env.dataset.classes

    @property
    def training(self) -> TrainingConfig:
        """How clients train by the settings (``lr``, ``batch_size``, ``local_epochs``, ...).

        Whoever reads them says that the loop follows them, with cross-entropy on the labels: then observers may assume
        it too. A loop that does not read them trains in a way that nobody else knows.
        """
        self.read.add("training")
        return self.env.settings.training

    def optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimiser of :attr:`training` over ``parameters``."""
        return optimizer_over(parameters, self.training)

    def batches(self, client: int, round: int = 1) -> Iterator[Ids]:
        """Rows of :meth:`private` for each local step of ``round``, by the settings and a seed of this federation.

        ``batch_size``, and ``local_epochs`` passes or ``local_steps`` steps. Whoever takes its steps from here says
        which records they were on, so that what an attack recovers from few steps is held against those.
        """
        self.read.add("batches")
        training, seed = self.env.settings.training, (self.env.root, ("client", client, "round", round, "private"))
        number = len(self.env.private(client, round).y)
        for rows, parts in passes(number, training.batch_size, training.local_epochs, seed, training.local_steps):
            yield from (rows[part].numpy() for part in parts)

    def private(self, client: int, round: int = 1) -> tuple[Inputs, Labels]:
        """The records [n, ...] that ``client`` trains on in ``round``, as its coins say, and their labels [n]."""
        found = self.env.private(client, round)
        return _inputs(found.x), found.y

    def public(self, round: int = 1) -> tuple[Inputs, Labels]:
        """The public fold of ``round``, in the order in which predictions on it are sent."""
        return self._records(self.public_ids(round))

    def public_ids(self, round: int = 1) -> Ids:
        """Which records those are; an active adversary's probes may stand among them."""
        return self.env.public_ids(round)

    def warmup(self) -> tuple[Inputs, Labels]:
        """Records for a common first model; none unless the game was dealt with some."""
        return self._records(self.env.division.warmup)

    def test(self) -> tuple[Inputs, Labels]:
        """Test records, which nobody trains on."""
        return _inputs(self.env.dataset.x_test), self.env.dataset.y_test

    def model(self, client: int = 0, *, own: bool = False) -> nn.Module:
        """A new model of the architecture of ``client``, with first weights that all share, or with ``own`` its own."""
        name = self.env.architecture(client)
        key = ("initial", name, client) if own else ("initial", name)
        return self.env.workbench.made(name, (self.env.root, key))

    def shadow(self, number: int) -> Deal:
        """The same game with other coins and another secret seed: who runs it gives an attack a reference."""
        root = self.env.root if self.target is None else self.target
        drawn = redraw(self.env.division, self.env.settings.data.inclusion, root, number, self.coins)
        secret, members = seeds.value(root, "shadow", number), members_of(self.env.division, drawn)
        shadow = replace(self.env, root=secret, members=members)
        return Deal(shadow, number=number, coins=self.coins, target=root)

    def generator(self, *name: seeds.Name) -> torch.Generator:
        """A generator of this federation by name, such as ``("client", 3, "round", 7)``."""
        return seeds.generator(self.env.root, "own", *name)

    def _records(self, ids: Ids) -> tuple[Inputs, Labels]:
        found = self.env.records(ids)
        return _inputs(found.x), found.y


def _inputs(x: NDArray[Any]) -> Inputs:
    return np.asarray(normalised(torch.from_numpy(x)).numpy(), dtype=np.float32)


def state_of(model: nn.Module | Mapping[str, Any]) -> dict[str, Tensor]:
    """Named tensors on the CPU, from a module or from a mapping of tensors or arrays."""
    found = model.state_dict() if isinstance(model, nn.Module) else model
    return {str(name): tensor_of(value) for name, value in found.items()}
