"""Joint decoding of predictions: which coins, for all candidates of a client at once, explain everything it answered.

The adversary knows the common start, the public folds, what the client was sent, the hyper-parameters and the client's
candidates; it does not know the coins, how many fell on one, or the order of the batches. The client's run is a
function of its coins; relaxed to weights in [0, 1] it has a derivative, by unrolling every step of every round
(:mod:`fedprivacy.attacks.membership.unrolled`). Descent on all answers of all rounds gives log-odds. A surrogate
learns from the same answers, one candidate at a time, and leaves out how they came about.

Where the adversary planted candidates, their answers are matched too, and conditional references are added: the one
client replayed with drawn coins, peers as observed. Their likelihood ratio is the cheap grade.

What breaks it: candidates that are not known (their part of the training looks like noise; records of the adversary's
own, whose weights are decoded too, stand in for them), and noise of a defense above that of the order of the batches.
Differentially private training is played with noise of the adversary's own, in descent and in replays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from fedprivacy import seeds
from fedprivacy.adversary.effort import THOROUGH
from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import Adversary, Float, Signals, View
from fedprivacy.attacks.membership.observations.probes import Probes
from fedprivacy.attacks.membership.received import Answer, answers
from fedprivacy.attacks.membership.unrolled.descent import Descent
from fedprivacy.attacks.membership.unrolled.order_noise import Drawn, drawn, noises
from fedprivacy.attacks.membership.unrolled.references import Conditional, conditional, ratio
from fedprivacy.attacks.membership.unrolled.situation import STOPPED, Situation, situation
from fedprivacy.attacks.membership.unrolled.work import forward, steps_within, work
from fedprivacy.data.records import Ids
from fedprivacy.federation.knowledge import Knowledge, Observed


@dataclass(frozen=True)
class Grade:
    """``steps`` of descent, 0 for none; ``pairs`` of replays with equal coins, ``singles`` with their own."""

    steps: int
    pairs: int
    singles: int = 0

    @property
    def replays(self) -> int:
        """Replays of a client."""
        return 2 * self.pairs + self.singles

    def told(self) -> str:
        """What was computed, in words."""
        descent = f"{self.steps} steps of descent" if self.steps else "no descent"
        return f"{descent} and {self.replays} replays a client"


PASSIVE = {"default": Grade(8, 4), "thorough": Grade(32, 8)}
ACTIVE = {"default": Grade(8, 4, 2), "thorough": Grade(32, 8, 16)}
MOST = 4.0
"""Largest absolute log-odds of references that are added to those of the descent."""
DEFAULT_WORK = 2e12
"""Operations a client that the default grade may cost: about a minute of one core for small dense models."""
UNKNOWN_START = 5e-3
"""Rate of the descent on a start that is not known, from one of the adversary's own."""
UNASKED = "no client that is attacked answered a probe"


@dataclass(frozen=True)
class JointPredictions:
    """Sources are the clients; the rounds axis has length 1, for all rounds are decoded together."""

    name: ClassVar[str] = "joint decoding of predictions"
    needs_courses: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        grade, view = _grade(knowledge, PASSIVE), view.until(knowledge.attack.first_rounds)
        scores = np.full((knowledge.settings.clients, 1, len(knowledge.candidates)), np.nan)
        doubts: dict[str, None] = {}
        costs: list[float] = []
        for client, given in _told(view, knowledge).items():
            known, replays, seed = _followed(view, knowledge, client, given, grade)
            doubts |= dict.fromkeys(known.doubts)
            costs.append(_thorough_work(known, grade, PASSIVE))
            odds = _odds(known, replays, grade, seed)
            mine = known.judged
            scores[client, 0, known.pool.places[mine]] = odds[mine]
        return Observed.decoded(scores, (*_notes(knowledge, PASSIVE), *doubts), _figures(knowledge, costs))


@dataclass(frozen=True)
class JointProbes:
    """The same with planted candidates; what :class:`Probes` gives, with conditional references and scores."""

    name: ClassVar[str] = "joint decoding of planted probes"
    needs_courses: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    reads_planted: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        grade, first = _grade(knowledge, ACTIVE), knowledge.attack.first_rounds
        n, records = len(knowledge.candidates), np.concatenate([knowledge.candidates, knowledge.auxiliary])
        labels, classes = knowledge.dataset.y_train[records], len(knowledge.dataset.classes)
        place = set(records.tolist())
        every = sorted({answer.round for answer in answers(view, place)})
        rounds = [round for round in every if first is None or round <= first]
        if every and not rounds:
            raise ValueError(
                f"the first probe was answered in round {every[0]}, and the budget reads the first {first} alone; "
                f"--budget {every[0]}rounds reads it"
            )
        view = view.until(first)
        plain, told = Probes().observe(view, knowledge), _told(view, knowledge)
        told = {client: given for client, given in told.items() if any(answer.round in rounds for answer in given)}
        scores = np.full((knowledge.settings.clients, len(rounds), n), np.nan)
        played: dict[int, Conditional] = {}
        doubts: dict[str, None] = {}
        costs: list[float] = []
        for client, given in told.items():
            known, replays, seed = _followed(view, knowledge, client, given, grade)
            doubts |= dict.fromkeys(known.doubts)
            costs.append(_thorough_work(known, grade, ACTIVE))
            played[client] = conditional(known, replays, rounds, records, labels, classes, n)
            mine = known.judged
            chosen = known.pool.places[mine]
            own = _signals(plain, client, chosen, knowledge)
            total = ratio(own, played[client], chosen)
            if grade.steps:
                # Log-odds add, held within the same bounds; over its own spread the weaker would count as much.
                total = np.clip(total, -MOST, MOST) + _odds(known, replays, grade, seed)[mine]
            usable = own.seen & own.clean
            scores[client][:, chosen] = np.where(usable, total / np.maximum(usable.sum(axis=0), 1), np.nan)
        notes = (*plain.notes, *_notes(knowledge, ACTIVE), *doubts)
        if not played:
            return replace(plain, notes=(*notes, UNASKED), scores=scores)
        shape = next(iter(played.values())).logp.shape
        logp = np.full((knowledge.settings.clients, *shape), np.nan)
        included = np.zeros((knowledge.settings.clients, shape[0], n), dtype=np.bool_)
        for client, one in played.items():
            logp[client], included[client] = one.logp, one.included
        return replace(
            plain,
            notes=notes,
            measured=_figures(knowledge, costs),
            scores=scores,
            simulated_logp=logp[:, :, :, :n],
            simulated_population_logp=logp[:, :, :, n:] if len(knowledge.auxiliary) else None,
            simulated_in=included,
        )


def _told(view: View, knowledge: Knowledge) -> dict[int, list[Answer]]:
    """Answers by client, without one's own, of clients that are attacked."""
    attacked = followed(Adversary(view.position), knowledge.wire, knowledge.attack.followed)
    told: dict[int, list[Answer]] = {}
    for answer in answers(view):
        if answer.client in attacked:
            told.setdefault(answer.client, []).append(answer)
    return dict(sorted(told.items()))


def _followed(
    view: View, knowledge: Knowledge, client: int, given: Sequence[Answer], grade: Grade
) -> tuple[Situation, Drawn, int]:
    """What is known of a client, replays of it, and the seed of everything else."""
    known = situation(view, knowledge, client, given)
    _affordable(known, knowledge, grade)
    seed = seeds.value(knowledge.root, "joint-predictions", client)
    unknown, prior = known.pool.places < 0, known.pool.prior
    replays = drawn(known.replay, known.private, known.asked, prior, grade.pairs, grade.singles, seed, unknown)
    return replace(known, client=replace(known.client, passes=replays.passes)), replays, seed


def _grade(knowledge: Knowledge, grades: Mapping[str, Grade]) -> Grade:
    """What the effort computes, with as many steps of descent as a budget in steps names."""
    grade, steps = grades[knowledge.attack.effort], knowledge.attack.steps
    return grade if steps is None else replace(grade, steps=steps)


def _affordable(known: Situation, knowledge: Knowledge, grade: Grade) -> None:
    """Raise ValueError where the default grade is more work than a default may be, and nobody said how much to do."""
    if knowledge.attack.effort == "thorough" or isinstance(knowledge.attack.budget, str):
        return
    if steps_within(known.client, grade.replays, grade.steps, DEFAULT_WORK) < grade.steps:
        raise ValueError(
            f"following one client costs {forward(known.client):.0e} operations a forward pass of its run, too many "
            "for the default grade; --effort thorough computes it, and --budget 4rounds as much of it as that says"
        )


def _thorough_work(known: Situation, grade: Grade, grades: Mapping[str, Grade]) -> float:
    """Operations that the thorough grade takes for one client, over those of ``grade``."""
    best = grades["thorough"]
    return work(known.client, best.replays, best.steps) / work(known.client, grade.replays, grade.steps)


def _figures(knowledge: Knowledge, costs: Sequence[float]) -> dict[str, float]:
    """What the thorough grade would cost, where this is the default one."""
    default = knowledge.attack.effort == "default" and knowledge.attack.steps is None
    return {THOROUGH: float(np.mean(costs))} if default and costs else {}


def _odds(known: Situation, replays: Drawn, grade: Grade, seed: int) -> Float:
    """Log-odds [n] of the records in the pool."""
    noise = noises(known.readings, replays, known.sent)
    largest = torch.from_numpy(known.pool.largest).to(known.start.dtype)
    prior = torch.from_numpy(known.pool.prior)
    descent = Descent(grade.steps, start_rate=0.0 if known.start_known else UNKNOWN_START)
    odds = descent.odds(known.client, known.start, known.readings, noise, seed, largest, prior)
    return np.asarray(odds.double().numpy())


def _signals(observed: Observed, client: int, chosen: Ids, knowledge: Knowledge) -> Signals:
    """Signals of one client on its own candidates, without references."""
    logp = observed.logp[client][:, chosen]
    seen = np.asarray(~np.isnan(logp).any(axis=-1))
    labels = knowledge.dataset.y_train[knowledge.candidates[chosen]]
    return Signals(logp, seen, observed.clean[:, chosen], labels)


def _notes(knowledge: Knowledge, grades: Mapping[str, Grade]) -> tuple[str, ...]:
    """Which grade was computed, what the other would, and what was not known."""
    effort = knowledge.attack.effort
    notes = [f"{effort} grade: {_grade(knowledge, grades).told()}"]
    if effort == "default":
        notes[0] += f"; --effort thorough computes {grades['thorough'].told()}"
    if knowledge.attack.first_rounds is not None:
        notes[0] += f", of the first {knowledge.attack.first_rounds} rounds"
    if knowledge.starts is None:
        notes.append("the clients' starts are not known: decoded together with the coins, from another one")
    if knowledge.known is not None:
        notes.append("the adversary's own records stand in for the candidates that it does not know")
    if knowledge.attack.owners == "unknown":
        notes.append("whose candidate each is is not known: all are asked of every client")
    if knowledge.settings.training.early_stopping is not None:
        notes.append(STOPPED)
    return tuple(notes)
