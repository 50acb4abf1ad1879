"""What everybody in a federation knows of it: how many take part, and how they train. No torch in here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig, RunConfig, TrainingConfig
from fedprivacy.wire.graph import Graph, graph


@dataclass(frozen=True)
class FederationSettings:
    """The settings that protocols, and whoever watches them, go by."""

    clients: int
    rounds: int
    participation: float
    dropout_rate: float
    data: DataConfig
    training: TrainingConfig
    topology: str = "ring"
    protocol: str = ""
    """What the protocol is called, for messages alone."""

    @classmethod
    def of(cls, config: RunConfig, stateless: bool = False) -> FederationSettings:
        """Those of one run; ``stateless``: the protocol's clients begin each round anew from what they are sent."""
        training = config.training
        if training.optimizer_state == "auto":
            training = training.model_copy(update={"optimizer_state": "fresh" if stateless else "persistent"})
        return cls(
            config.clients,
            config.rounds,
            config.participation,
            config.dropout_rate,
            config.data,
            training,
            config.topology,
            config.protocol,
        )

    def architecture(self, client: int) -> str:
        """Name of the architecture of client ``client``."""
        models = self.training.client_models or (self.training.model,)
        return models[client % len(models)]

    @property
    def graph(self) -> Graph:
        """Who hears whom where there is no server. UsageError where the topology does not fit the clients."""
        try:
            return graph(self.topology, self.clients)
        except ValueError as error:
            raise UsageError(f"--topology: {error}.") from None

    @property
    def architectures(self) -> tuple[str, ...]:
        """The different ones among the clients, in order of first use."""
        return tuple(dict.fromkeys(map(self.architecture, range(self.clients))))

    @property
    def together(self) -> int:
        """How many clients take part in a round, or work at the same time: at least one."""
        return max(1, math.floor(self.participation * self.clients + 0.5))
