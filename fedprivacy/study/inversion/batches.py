"""Truth about batches: which records a client used in a round, step by step, told by the named seeds of its training.

This is the examiner's knowledge. An attack is handed none of it, but for labels under the preset ``strong``.
"""

from __future__ import annotations

import numpy as np

from fedprivacy import seeds
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import round_half_up
from fedprivacy.study.game import Game
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import passes


def used(config: RunConfig, played: Game, root: int, client: int, number: int) -> list[Ids]:
    """The records of each local step behind message ``number`` of ``client``: its round, or which of its uploads it is.

    Under differentially private training the batches are drawn otherwise; then all private records are one step.
    """
    if client == EVERYBODY:
        everybody = _participants(config, root, number)
        return [ids for one in everybody for ids in used(config, played, root, one, number)]
    folds = played.members()[client]
    sent = resolve(config).wire.model
    job = _job(config, root, client, number) if sent is not None and sent.by_job else number
    records = folds[min(job, len(folds)) - 1]
    training = config.training
    if config.defense.name == "dp-sgd":
        return [records]
    seed = (root, ("client", client, "round", job, "private"))
    taken = passes(len(records), training.batch_size, training.local_epochs, seed, training.local_steps)
    return [records[rows[part].numpy()] for rows, parts in taken for part in parts]


def all_used(config: RunConfig, played: Game, root: int, client: int, number: int) -> Ids:
    """The different records behind a message, in the order of their first use."""
    steps = used(config, played, root, client, number)
    taken = np.concatenate(steps) if steps else np.zeros(0, dtype=np.int64)
    _, first = np.unique(taken, return_index=True)
    return taken[np.sort(first)]


def _participants(config: RunConfig, root: int, round: int) -> list[int]:
    """Clients behind the mean of a round."""
    number = max(1, round_half_up(config.participation * config.clients))
    everybody = list(range(config.clients))
    if config.participation < 1:
        draw = seeds.numpy_generator(root, "participants", round).permutation(config.clients)[:number]
        everybody = sorted(int(client) for client in draw)
    rate = config.dropout_rate
    return [c for c in everybody if rate == 0 or seeds.numpy_generator(root, "dropout", round, c).random() >= rate]


def _job(config: RunConfig, root: int, client: int, number: int) -> int:
    """The job whose upload was the client's ``number``-th: jobs that dropped out sent nothing."""
    job, arrived, rate = 0, 0, config.dropout_rate
    while arrived < number:
        job += 1
        lost = rate > 0 and seeds.numpy_generator(root, "dropout", "job", job, client).random() < rate
        arrived += not lost
    return job
