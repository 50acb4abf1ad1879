"""Public folds with an active server's probes in them, and the answers that clients would have given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import Defense, SharesPredictions, prepared
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.log import Contents
from fedprivacy.wire.transcript import Transcript


def planted_folds(probes: Ids, regular: Ids, share: float) -> Iterator[Ids]:
    """Alternative folds of the size of ``regular`` in which at most ``share`` of the records are probes.

    Every probe stands in exactly one of them; the first records of the regular fold make way.
    """
    room = max(1, int(share * len(regular)))
    for first in range(0, len(probes), room):
        chunk = probes[first : first + room]
        yield np.concatenate([chunk, regular[len(chunk) :]])


def spread_probes(probes: Ids, regular: Sequence[Ids], share: float) -> dict[int, Ids]:
    """Round -> planted fold, with the probes dealt over all rounds as far as there is room; each stands once."""
    planted: dict[int, Ids] = {}
    rest, per_round = probes, -(-len(probes) // len(regular))
    for number, fold in enumerate(regular, start=1):
        room = min(per_round, max(1, int(share * len(fold))))
        planted[number] = np.concatenate([rest[:room], fold[len(rest[:room]) :]])
        rest = rest[room:]
    return planted


def probe_last_round(
    protocol: SharesPredictions,
    env: Environment,
    before_last: FederationState,
    probes: Ids,
    share: float,
    where: Path | None,
    defense: Defense | None = None,
) -> list[Transcript]:
    """What an active server would have received, had it planted ``probes`` in the last round's fold.

    Each alternative last fold is one transcript; their messages lie in the folder ``where``, or in memory. Predictions
    are taken before anybody trains on the fold, so the honest run up to there is the same, and each probe's first
    exposure is clean.
    """
    number, env = env.rounds, prepared(env, defense)
    private = protocol.private_phase(before_last, number, env).state
    store = Contents(None if where is None else where / "contents.bin")
    transcripts = []
    for planted in planted_folds(probes, env.division.public[number - 1], share):
        channel = Channel(number, store, defense)
        shared = protocol.share(private, number, env.with_planted({number: planted}), channel)
        transcripts.append(Transcript(tuple(channel.messages), (shared.fold,), store))
    return transcripts
