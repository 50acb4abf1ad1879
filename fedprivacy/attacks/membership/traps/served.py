"""What the server of an honest run sent each client, round by round, and how each client's trap layer travelled."""

from __future__ import annotations

import numpy as np
from torch import nn

from fedprivacy.attacks.membership.models_on_wire import Received, broadcast_models
from fedprivacy.attacks.membership.traps.layer import TrapLayer, trap_layer
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.transcript import Transcript

JUDGED_ON = 256
"""Records on which a layer is told to be fit for traps."""


class Served:
    """The honest run as an adversary knows it that is the server."""

    def __init__(self, knowledge: Knowledge, honest: Transcript) -> None:
        self._knowledge, self.honest = knowledge, honest
        every = np.arange(len(knowledge.candidates))
        self.candidates: Ids = every if knowledge.known is None else every[knowledge.known]
        """Positions of the candidates that the adversary knows."""
        self.ids: Ids = np.concatenate([knowledge.candidates[self.candidates], knowledge.auxiliary])
        """Those records, and behind them its own."""
        self._sent: dict[int, list[Received]] = {}
        self._layers: dict[str, TrapLayer] = {}

    def name(self, client: int) -> str:
        """Architecture of the model that ``client`` is sent."""
        return self._knowledge.wire.travelling(client)

    def module(self, client: int) -> nn.Module:
        """A module of that architecture; its present weights mean nothing."""
        return self._knowledge.workbench.module(self.name(client))

    def layer(self, client: int) -> TrapLayer:
        """Where traps can be laid for ``client``. ValueError where nowhere."""
        name = self.name(client)
        if name not in self._layers:
            module = self.module(client)
            module.load_state_dict(self._knowledge.workbench.initial(name, (self._knowledge.root, ("trap layer",))))
            self._layers[name] = trap_layer(module, self._knowledge.dataset.x_train[self.ids[-JUDGED_ON:]])
        return self._layers[name]

    def sent(self, client: int) -> list[Received]:
        """The model that ``client`` held of the server's after each round that changed it; round 0: the start."""
        if client not in self._sent:
            start, names = self._knowledge.start, set(self.module(client).state_dict())
            start = start if start is not None and set(start) == names else {}
            told = broadcast_models(self.honest, False, client_name(client), start)
            self._sent[client] = [Received(0, -1, start, client), *told]
        return self._sent[client]

    def held(self, client: int, round: int) -> Part:
        """The model that ``client`` held of the server's after ``round``."""
        return [model for model in self.sent(client) if model.round <= round][-1].weights
