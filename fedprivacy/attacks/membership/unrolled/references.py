"""Conditional references: the target client alone, replayed with coins that the adversary drew.

Peers' predictions are as observed, so one client is simulated and no federation. Its answers on planted candidates are
references that were, and were not, trained on each of them, and differ from the target by nothing but the coins and the
order of the batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, Signals
from fedprivacy.attacks.membership.combine import usable_rounds
from fedprivacy.attacks.membership.decode import decode_sent
from fedprivacy.attacks.membership.logits import phi
from fedprivacy.attacks.membership.unrolled.order_noise import Drawn
from fedprivacy.attacks.membership.unrolled.predictive import predictive_ratio
from fedprivacy.attacks.membership.unrolled.situation import Situation
from fedprivacy.data.records import Ids


@dataclass(frozen=True, eq=False)
class Conditional:
    """``logp`` [S, rounds, records, C] of simulated clients, NaN where not asked; ``included`` [S, candidates]."""

    logp: Float
    included: Bool


def conditional(
    known: Situation, found: Drawn, rounds: Sequence[int], records: Ids, labels: Int, classes: int, candidates: int
) -> Conditional:
    """Answers of the replays ``found`` on ``records`` (candidates first) in the ``rounds`` of the probes.

    They are read as the client's own are, out of what would have arrived of them; ``labels`` [len(records)].
    """
    place = {int(record): i for i, record in enumerate(records)}
    logp = np.full((len(found.answers), len(rounds), len(records), classes), np.nan)
    for number, told in enumerate(found.answers):
        for axis, round in enumerate(rounds):
            if round not in told:  # it did not take part
                continue
            rows = np.array([i for i, record in enumerate(known.asked_ids[round]) if int(record) in place], dtype=int)
            places = np.array([place[int(known.asked_ids[round][i])] for i in rows], dtype=int)
            sent = known.message(told[round], round)
            values = sent.values.numpy()
            logp[number, axis, places] = decode_sent(values, sent.form, rows, labels=labels[places], classes=classes)[0]
    included = np.zeros((len(found.answers), candidates), dtype=np.bool_)
    mine = known.pool.places >= 0
    included[:, known.pool.places[mine]] = found.coins[:, mine]
    return Conditional(logp, included)


def ratio(own: Signals, found: Conditional, chosen: Ids) -> Float:
    """Log likelihood ratio [len(chosen)] of answers against conditional references alone; 0 where none tells anything.

    ``own``: signals of the target on ``chosen``. Rounds count alike, by their mean margin.
    """
    usable = usable_rounds(own)
    answer = _over_rounds(phi(own.logp, own.labels), usable)
    replies = np.stack([_over_rounds(phi(one, own.labels), usable) for one in found.logp[:, :, chosen]])
    return predictive_ratio(answer, replies, found.included[:, chosen])


def _over_rounds(margins: Float, usable: Bool) -> Float:
    """Means [n] over the usable of [rounds, n]; NaN where there are none."""
    count = usable.sum(axis=0)
    total = np.where(usable, margins, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
