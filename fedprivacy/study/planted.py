"""What an active server receives that plants candidates, and its own records, in the public folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.sight import Wire
from fedprivacy.data.canaries import canaries
from fedprivacy.data.records import Ids
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense, FederatedProtocol, SharesPredictions
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.federation.probes import planted_folds, probe_last_round, spread_probes
from fedprivacy.study.ran import Ran, rounds_before
from fedprivacy.wire.transcript import Transcript


def plant(ran: Ran, knowledge: Knowledge) -> list[Transcript]:
    """The transcripts of ``ran`` with probes in them.

    Of the candidates only those that the adversary knows. Where an audit chose canaries, they alone are planted, ahead
    of the adversary's own records.
    ``last``: the honest rounds, then alternative last rounds. ``spread``, and for a protocol whose last round cannot be
    played by itself: one run with a share of each fold replaced.
    Of a static set the same records stand in every round, so there is room for one fold of probes in all.
    """
    env, protocol, attack = ran.env, ran.protocol, ran.study.attack
    rng = seeds.numpy_generator(ran.root, "adversary", "probes")
    known = np.ones(len(knowledge.candidates), dtype=bool) if knowledge.known is None else knowledge.known
    if ran.study.canaries.number is None:
        probes = rng.permutation(np.concatenate([knowledge.candidates[known], knowledge.auxiliary]))
    else:
        guessed = np.concatenate(canaries(env.division, ran.study.canaries, ran.root)) & known
        probes = np.concatenate([rng.permutation(knowledge.candidates[guessed]), rng.permutation(knowledge.auxiliary)])
    share, regular = attack.planted_share, env.division.public
    if attack.schedule == "last" and isinstance(protocol, SharesPredictions):
        last = probe_last_round(protocol, env, ran.done.before_last, probes, share, ran.room_for("probes"), ran.defense)
        return [rounds_before(ran.done.transcript, env.rounds), *last]
    if is_static(ran.study.wire):
        fold = next(planted_folds(probes, regular[0], share))
        planted = dict.fromkeys(range(1, env.rounds + 1), fold)
    else:
        planted = spread_probes(probes, regular, share)
    return [engine.run(protocol, env.with_planted(planted), ran.room_for("active"), ran.defense).transcript]


def is_static(wire: Wire) -> bool:
    """Whether the same public records are used in every round."""
    return any(release.fixed_fold for release in wire.releases)


def probe_by_running_again(
    protocol: FederatedProtocol, env: Environment, probes: Ids, where: Path, defense: Defense | None
) -> list[Transcript]:
    """The last rounds of as many runs as it takes to ask about ``probes``, for what cannot be taken up before them.

    Seeds are named, so the rounds before are those of the honest run, and clients answer before they learn from it.
    """
    told, last = list[Transcript](), env.rounds
    for number, fold in enumerate(planted_folds(probes, env.division.public[last - 1], 1.0)):
        again = engine.run(protocol, env.with_planted({last: fold}), where / f"run-{number}", defense).transcript
        kept = again.restricted(lambda message: message.round == last)
        told.append(Transcript(kept.messages, tuple(f for f in again.folds if f.round == last), kept.store))
    return told
