"""Truth about batches: which records a client used in a round, step by step, told by the named seeds of its training.

This is the examiner's knowledge. An attack is handed none of it, but for labels under the preset ``strong``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.sight import Wire
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.data.records import Ids
from fedprivacy.study.game import Game
from fedprivacy.training.passes import passes

UNTOLD = (
    "which of a client's records its own loop drew in a few steps is known to the loop alone: all that the client held "
    "are the truth, so that what is recovered is understated"
)


@dataclass(frozen=True, eq=False)
class Batches:
    """The records behind the messages of one repetition. ``named``: local training draws its batches by the named
    seeds of ours, which a loop of one's own does not."""

    wire: Wire
    game: Game
    root: int
    named: bool = True

    @property
    def told(self) -> bool:
        """Whether it is known which records of a fold were used; where whole passes are made, all of them were."""
        return self.named or self.wire.federation.training.local_steps is None

    def used(self, client: int, number: int) -> list[Ids]:
        """The records of each local step behind message ``number`` of ``client``: its round, or which of its uploads
        it is.

        Under differentially private training, and in a loop of one's own, the batches are drawn otherwise; then all
        private records are one step.
        """
        if client == EVERYBODY:
            return [ids for one in self._participants(number) for ids in self.used(one, number)]
        folds, sent = self.game.members()[client], self.wire.model
        job = self._job(client, number) if sent is not None and sent.by_job else number
        records = folds[min(job, len(folds)) - 1]
        if self.wire.defended.noised_steps or not self.named:
            return [records]
        training, seed = self.wire.federation.training, (self.root, ("client", client, "round", job, "private"))
        taken = passes(len(records), training.batch_size, training.local_epochs, seed, training.local_steps)
        return [records[rows[part].numpy()] for rows, parts in taken for part in parts]

    def all_used(self, client: int, number: int) -> Ids:
        """The different records behind a message, in the order of their first use."""
        steps = self.used(client, number)
        taken = np.concatenate(steps) if steps else np.zeros(0, dtype=np.int64)
        _, first = np.unique(taken, return_index=True)
        return taken[np.sort(first)]

    def _participants(self, round: int) -> list[int]:
        """Clients behind the mean of a round."""
        federation = self.wire.federation
        everybody, rate = list(range(federation.clients)), federation.dropout_rate
        if federation.participation < 1:
            draw = seeds.numpy_generator(self.root, "participants", round).permutation(federation.clients)
            everybody = sorted(int(client) for client in draw[: federation.together])
        dropped = (seeds.numpy_generator(self.root, "dropout", round, client).random() < rate for client in everybody)
        return everybody if rate == 0 else [c for c, lost in zip(everybody, dropped, strict=True) if not lost]

    def _job(self, client: int, number: int) -> int:
        """The job whose upload was the client's ``number``-th: jobs that dropped out sent nothing."""
        job, arrived, rate = 0, 0, self.wire.federation.dropout_rate
        while arrived < number:
            job += 1
            lost = rate > 0 and seeds.numpy_generator(self.root, "dropout", "job", job, client).random() < rate
            arrived += not lost
        return job
