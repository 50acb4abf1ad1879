"""A model with traps in it: an honest one, some rows of which lie in wait for records, loud about what they meet.

Where the last layer reads the trapped one, its weights behind a row of a record of class y are ``-LOUD`` for y and
``LOUD / (C - 1)`` for the others: the model is sure and wrong about this record, so the row's gradient is large, and it
points down. All other rows stay as they were. So the model answers other records nearly as before where few rows are
taken; where all are, as by default, nothing is left of what it knew (``reports/dishonest_server.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fedprivacy.attacks.membership.traps.layer import TrapLayer
from fedprivacy.attacks.membership.traps.rows import Discriminants
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Part
from fedprivacy.wire.parties import client_index
from fedprivacy.wire.payload import Compact, Payload, Update, Weights

LOUD = 1.0

HEAD = "head.weight"
"""The last layer of every architecture here (:class:`~fedprivacy.models.contract.Classifier`)."""


@dataclass(frozen=True, eq=False)
class Honest:
    """The model that an honest server sends, its trap ``layer``, and what that reads of all known records.

    ``inputs`` [n, d]; ``labels`` [n]; ``own`` positions of the adversary's own records; ``sample`` those that mean and
    covariance are taken over.
    """

    weights: Part
    layer: TrapLayer
    inputs: Tensor
    labels: Ids
    own: Ids
    sample: Ids

    @cached_property
    def _discriminants(self) -> Discriminants:
        return Discriminants(self.inputs, torch.from_numpy(self.sample), self.layer.dropout)

    def quiet_rows(self) -> Ids:
        """Rows of the layer, those first that say least on the adversary's own records."""
        read = self.inputs[torch.from_numpy(self.own if len(self.own) else self.sample)]
        weight, bias = self.weights[self.layer.weight], self.weights[self.layer.bias]
        said = (read @ weight.T + bias).relu().mean(dim=0)
        if self.layer.before_head:
            said = said * self.weights[HEAD].norm(dim=0)
        return said.argsort(stable=True).numpy()

    def trapped(self, asked: Ids) -> dict[str, Tensor]:
        """The same model with a row for each record in ``asked`` (positions), in its quietest rows."""
        rows = torch.from_numpy(self.quiet_rows()[: len(asked)].copy())
        laid = self._discriminants.rows(torch.from_numpy(asked))
        model = {name: tensor.clone() for name, tensor in self.weights.items()}
        model[self.layer.weight][rows] = laid.weight
        model[self.layer.bias][rows] = laid.bias
        if self.layer.before_head:
            model[HEAD][:, rows] = loud(self.labels[asked], len(model[HEAD]))
        return model


def loud(labels: Ids, outputs: int) -> Tensor:
    """Weights [outputs, k] of the last layer behind the rows of records of classes ``labels`` [k]."""
    if outputs == 1:
        return LOUD * torch.where(torch.from_numpy(labels) == 1, -1.0, 1.0)[None]
    weights = torch.full((outputs, len(labels)), LOUD / (outputs - 1))
    weights[torch.from_numpy(labels), torch.arange(len(labels))] = -LOUD
    return weights


class TrapForge:
    """Sends the trapped model of the receivers' architecture wherever a model, or an update of one, is due.

    ``models``: by architecture; ``architecture``: of what a client is sent; ``known``: what clients of an architecture
    had before, which an update is added to.
    """

    def __init__(self, models: Mapping[str, Part], architecture: Callable[[int], str], known: Mapping[str, Part]):
        self._models, self._architecture, self._known = models, architecture, dict(known)

    def __call__(self, payload: Payload, receivers: Sequence[str]) -> Payload:
        sent = payload.opened() if isinstance(payload, Compact) else payload
        if not isinstance(sent, Weights | Update):
            return payload
        name = self._architecture(client_index(receivers[0]))
        model = self._models[name]
        if isinstance(sent, Weights):
            return Weights({key: model.get(key, tensor) for key, tensor in sent.tensors.items()})
        before = self._known[name]
        self._known[name] = {**before, **{key: model[key] for key in sent.tensors if key in model}}
        return Update({key: model[key] - before[key] if key in model else t for key, t in sent.tensors.items()})
