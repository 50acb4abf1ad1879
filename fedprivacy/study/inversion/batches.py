"""Truth about batches: which records a client used in a round, step by step, told by the named seeds of its training.

This is the examiner's knowledge. An attack is handed none of it, but for labels under the preset ``strong``.
"""

from __future__ import annotations

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.sight import Wire
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.config.federation import FederationSettings
from fedprivacy.data.records import Ids
from fedprivacy.study.game import Game
from fedprivacy.training.passes import passes


def used(wire: Wire, played: Game, root: int, client: int, number: int) -> list[Ids]:
    """The records of each local step behind message ``number`` of ``client``: its round, or which of its uploads it is.

    Under differentially private training the batches are drawn otherwise; then all private records are one step.
    """
    federation = wire.federation
    if client == EVERYBODY:
        everybody = _participants(federation, root, number)
        return [ids for one in everybody for ids in used(wire, played, root, one, number)]
    folds = played.members()[client]
    job = _job(federation, root, client, number) if wire.model is not None and wire.model.by_job else number
    records = folds[min(job, len(folds)) - 1]
    if wire.defended.noised_steps:
        return [records]
    training, seed = federation.training, (root, ("client", client, "round", job, "private"))
    taken = passes(len(records), training.batch_size, training.local_epochs, seed, training.local_steps)
    return [records[rows[part].numpy()] for rows, parts in taken for part in parts]


def all_used(wire: Wire, played: Game, root: int, client: int, number: int) -> Ids:
    """The different records behind a message, in the order of their first use."""
    steps = used(wire, played, root, client, number)
    taken = np.concatenate(steps) if steps else np.zeros(0, dtype=np.int64)
    _, first = np.unique(taken, return_index=True)
    return taken[np.sort(first)]


def _participants(federation: FederationSettings, root: int, round: int) -> list[int]:
    """Clients behind the mean of a round."""
    everybody, rate = list(range(federation.clients)), federation.dropout_rate
    if federation.participation < 1:
        draw = seeds.numpy_generator(root, "participants", round).permutation(federation.clients)
        everybody = sorted(int(client) for client in draw[: federation.together])
    return [c for c in everybody if rate == 0 or seeds.numpy_generator(root, "dropout", round, c).random() >= rate]


def _job(federation: FederationSettings, root: int, client: int, number: int) -> int:
    """The job whose upload was the client's ``number``-th: jobs that dropped out sent nothing."""
    job, arrived, rate = 0, 0, federation.dropout_rate
    while arrived < number:
        job += 1
        lost = rate > 0 and seeds.numpy_generator(root, "dropout", "job", job, client).random() < rate
        arrived += not lost
    return job
