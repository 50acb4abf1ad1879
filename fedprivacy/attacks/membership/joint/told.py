"""What a finding on joint updates must say: assumptions, what the simulations foretold, which rounds carried it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedprivacy.adversary.effort import FORETOLD, THOROUGH
from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.joint.changes import doubts
from fedprivacy.attacks.membership.joint.follow import GRADES, Follower
from fedprivacy.attacks.membership.unrolled.situation import STOPPED
from fedprivacy.metrics.pooling import pool
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.release import MODELS

NAMED = 3
"""Rounds that are named."""


def told(follower: Follower, effort: str) -> tuple[str, ...]:
    """Notes, in the order in which a reader asks."""
    sources = list(follower.sources.values())
    if not sources:
        return ()
    grade, knowledge = follower.grade, follower.knowledge
    share = "all candidates" if knowledge.known is None else f"{knowledge.attack.known_share:.0%} of the candidates"
    owner = " and owner" if follower.owned else ", not their owner"
    start = "the common start, " if follower.rules.initial is not None else ""
    seen = "the mean of all clients" if follower.together else "each client"
    changes = f"{'all' if grade.changes is None else f'the first {grade.changes}'} changes of {seen}"
    if grade.rounds is not None:
        changes += f" in the first {grade.rounds} rounds"
    notes = [
        f"{effort} grade: {changes}, {grade.worlds} simulations each{more(follower)}",
        f"known: {share} with labels{owner}, {start}model, optimiser, schedule and defense; unknown: coins, their "
        "number, the order of batches",
        *doubts(follower.sure),
        beside(follower),
        foretold(follower),
        carried(follower),
        "augmentation with draws of its own" if knowledge.settings.training.augmentation else "",
        STOPPED if knowledge.settings.training.early_stopping is not None else "",
    ]
    if follower.left_out:
        notes.append(f"without {', '.join(sorted(follower.left_out))}, whose gradients take too much room")
    return tuple(note for note in notes if note)


def beside(follower: Follower) -> str:
    """What else lies in changes that are seen of several clients together."""
    wire = follower.knowledge.wire
    made = any(r.sender == SERVER and r.of == "mix" and r.reads in MODELS for r in wire.releases)
    return "what the server made of their models is no mean, and is read as one" if follower.together and made else ""


def more(follower: Follower) -> str:
    """What the best grade would take, where this is another."""
    times = thorough_work(follower)
    if times is None:
        return ""
    words = f"all changes and {GRADES['thorough'].worlds} simulations, about {times:.2g} times the work"
    return f" (--effort thorough: {words})"


def thorough_work(follower: Follower) -> float | None:
    """Simulated rounds of the best grade over those of this one; None where this is the best or reads all."""
    grade, best = follower.grade, GRADES["thorough"]
    read = grade.changes if grade.rounds is None else grade.rounds
    if grade == best or read is None:
        return None
    return max(1.0, follower.knowledge.settings.rounds / read) * best.worlds / grade.worlds


def figures(follower: Follower) -> dict[str, float]:
    """What a better grade would cost, and the AUC that this one's simulations foretell, where they do."""
    times, played = thorough_work(follower), _played(follower)
    told = {} if times is None else {THOROUGH: times}
    return told if played is None else {**told, FORETOLD: auc(*played)}


def foretold(follower: Follower) -> str:
    """AUC and TPR that the simulated clients' own coins give, decoded as the observed ones are.

    Where the equations were weighed, by weights to which each of these simulations has added: too high, more so where
    noise is strong and the simulations are few.
    """
    played = _played(follower)
    if played is None:
        return ""
    members, others = played
    rate = tpr_at_fpr(members, others, 0.01).tpr
    words = f"the simulations foretell AUC {auc(members, others):.3f} and TPR {rate:.2f} at 1% FPR"
    if follower.knowledge.known is not None:
        return f"{words}, too much, as no record in them is unknown"
    if not all(change.clients for change in follower.sure):
        return f"{words}, too much, as nobody in them sits out"
    return f"{words}, perhaps too much, as equations are weighed by the same simulations" if follower.weighed else words


def _played(follower: Follower) -> tuple[Float, Float] | None:
    """Log-odds of simulated members and of the others; None where no simulation has both."""
    scores, coins = [], []
    for source in follower.sources.values():
        for played, flips in zip(source.played, source.coins, strict=True):
            known = ~np.isnan(played)
            if flips[known].any() and not flips[known].all():
                scores.append(played[known])
                coins.append(flips[known])
    return pool(scores, coins) if scores else None


def carried(follower: Follower) -> str:
    """The rounds with most of the squared distance between members and others, in the simulations."""
    power: dict[int, float] = {}
    for source in follower.sources.values():
        for round, amount in source.power.items():
            power[round] = power.get(round, 0.0) + amount
    shares = _shares(power)
    if not shares:
        return "no change answers to the coins of the simulations"
    first = sorted(shares, key=lambda round: -shares[round])[:NAMED]
    return "carried by round " + ", ".join(f"{round} ({shares[round]:.0%})" for round in first)


def _shares(power: Mapping[int, float]) -> dict[int, float]:
    total = sum(power.values())
    return {round: amount / total for round, amount in power.items()} if total > 0 else {}
