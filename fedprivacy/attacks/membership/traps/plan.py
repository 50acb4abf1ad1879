"""Which questions a dishonest server asks, and the forged models that ask them: from the honest run's view alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fedprivacy import seeds
from fedprivacy.attacks.membership.traps.layer import layer_inputs
from fedprivacy.attacks.membership.traps.model import Honest, TrapForge
from fedprivacy.attacks.membership.traps.rounds import Episode
from fedprivacy.attacks.membership.traps.served import Served
from fedprivacy.data.records import Ids
from fedprivacy.federation.knowledge import Knowledge

DECOYS = 8
"""One row in so many waits for a record of the adversary's own, on which nobody trains: what a row does untouched."""

SAMPLE = 4096
"""Most records that mean and covariance are taken over."""


def forgeries(served: Served, knowledge: Knowledge, episode: Episode, asked: Ids) -> Iterator[TrapForge]:
    """Forged models for one run each, until every record in ``asked`` (positions in ``served.ids``) has had its row.

    All clients are sent the same questions, since a server need not know whose candidate is whose. The share of a
    layer's rows that are taken is that of a public fold that an active server replaces (``attack.planted_share``).
    """
    first = {served.name(client): client for client in reversed(range(knowledge.wire.federation.clients))}
    models = {name: _honest(served, knowledge, client, episode) for name, client in first.items()}
    rows = min(max(1, int(knowledge.attack.planted_share * model.layer.rows)) for model in models.values())
    own = np.arange(len(served.candidates), len(served.ids))
    decoys = min(rows // DECOYS, len(own))
    order = seeds.numpy_generator(knowledge.root, "traps", episode.first, episode.last)
    asked, own = order.permutation(asked), order.permutation(own)
    known = {name: served.held(client, episode.first - 1) for name, client in first.items()}
    for number, place in enumerate(range(0, len(asked), rows - decoys)):
        waiting = np.concatenate([asked[place : place + rows - decoys], np.roll(own, -number * decoys)[:decoys]])
        trapped = {name: model.trapped(waiting) for name, model in models.items()}
        yield TrapForge(trapped, served.name, known)


def _honest(served: Served, knowledge: Knowledge, client: int, episode: Episode) -> Honest:
    """The model that an honest server sends clients of one architecture in the round in which traps are laid."""
    weights, layer, module = served.held(client, episode.laid), served.layer(client), served.module(client)
    if set(weights) != set(module.state_dict()):
        raise ValueError("some layers had not been sent when traps were to be laid, so what their rows read is unknown")
    module.load_state_dict(dict(weights))
    ids, draw = served.ids, seeds.numpy_generator(knowledge.root, "traps", "sample")
    inputs = layer_inputs(module, layer, knowledge.dataset.x_train[ids])
    sample = np.sort(draw.permutation(len(ids))[:SAMPLE])
    own = np.arange(len(served.candidates), len(ids))
    return Honest(weights, layer, inputs, knowledge.dataset.y_train[ids], own, sample)
