"""Everything that an adversary knows of one client, put together for simulation: its course, its records, its answers.

Of candidates that are not known, records of the adversary's own take the place: as many where it has them, else each
counts for several. Where nobody says whose candidate each is, all are asked of every client. A start that each client
drew for itself is replaced by one drawn the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float, Int, View
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import optimiser_of
from fedprivacy.attacks.membership.unrolled.order_noise import Sent
from fedprivacy.attacks.membership.unrolled.private_training import PrivateTraining
from fedprivacy.attacks.membership.unrolled.readings import Reading, reading, sent_for
from fedprivacy.attacks.membership.unrolled.replay import Replay
from fedprivacy.attacks.membership.unrolled.told import heard
from fedprivacy.attacks.membership.unrolled.two_layers import model_of
from fedprivacy.data.records import Division, Ids
from fedprivacy.federation.course import Answer as Told
from fedprivacy.federation.course import Event, Fit, Heard, Private, TellsCourse
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense, prepared
from fedprivacy.federation.knowledge import Knowledge, Rules
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Records, normalised
from fedprivacy.wire.codec import decode, encode
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions


@dataclass(frozen=True, eq=False)
class Pool:
    """Records that may stand in a client's private folds: ``ids`` [n] fold after fold, ``fold`` [n] of each.

    ``places`` [n]: position among all candidates, -1 for a stand-in. ``prior`` [n]: probability that a record is
    trained on; ``largest`` [n]: the weight it then has.
    """

    ids: Ids
    fold: Int
    places: Int
    prior: Float
    largest: Float

    @property
    def folds(self) -> list[Int]:
        """Positions in the pool, by fold."""
        return [np.flatnonzero(self.fold == number) for number in range(int(self.fold.max()) + 1)]


ANEW = "clients were told newer predictions, in turn, than are in sight here: followed with the first ones"
UNHEARD = "clients may have trained in rounds in which they were not heard: followed without those"
"""What an adversary may not know of a client's course, in words."""

STOPPED = "clients stop early: known too are the records by which each does"
"""What is taken as known of clients that stop early, in words; whoever plays them uses those records."""


@dataclass(frozen=True, eq=False)
class Situation:
    """One client. ``asked``: all records by round that it answered, in the order of the answers; ``readings`` of
    them; ``message``: what would arrive of simulated logits [N, C] of a round, in the client's form and behind its
    defense; ``sent``: what would be read of that, None without a defense; ``doubts``: of its course."""

    client: Client
    start: Tensor
    pool: Pool
    private: Sequence[Records]
    replay: Replay
    asked: Mapping[int, NDArray[np.generic]]
    asked_ids: Mapping[int, Ids]
    readings: Mapping[int, Reading]
    message: Callable[[Tensor, int], Predictions]
    sent: Sent | None
    start_known: bool
    doubts: tuple[str, ...] = ()

    @property
    def judged(self) -> Bool:
        """Which records of the pool [n] are candidates of a fold that was trained on before the last answer."""
        rounds = [event.round for event in self.client.events if isinstance(event, Private)]
        folds = [min(round, len(self.private)) - 1 for round in rounds]
        return np.asarray((self.pool.places >= 0) & np.isin(self.pool.fold, folds))


@dataclass(frozen=True, eq=False)
class Protection:
    """What a defense does, with seeds of the adversary's: the share of members that clients train on (``kept``), what
    becomes of messages (``wire``, None: nothing), and how they train on them (``training``, None: plainly)."""

    kept: float
    wire: Defense | None
    training: PrivateTraining | None


@dataclass(frozen=True, eq=False)
class Course:
    """One client's run but for its own records: the ``replay`` of it, and its answers ``payloads`` by round, on the
    records ``asked`` with their ``labels``, behind a ``protection``; ``doubts``: what is not known of it, in
    words."""

    rules: Rules
    replay: Replay
    asked: Mapping[int, NDArray[np.generic]]
    asked_ids: Mapping[int, Ids]
    labels: Mapping[int, Tensor]
    payloads: Mapping[int, Predictions]
    start_known: bool
    protection: Protection
    doubts: tuple[str, ...] = ()


def course(view: View, knowledge: Knowledge, client: int, given: Sequence[Answer]) -> Course:
    """The course of ``client`` with its answers ``given``. ValueError where it cannot be followed."""
    rules, settings, dataset = knowledge.rules, knowledge.settings, knowledge.dataset
    if rules is None or not isinstance(rules.protocol, TellsCourse):
        raise ValueError(f"protocol {settings.protocol} does not tell what its clients do, so none can be followed")
    architecture = settings.architecture(client)
    given_start = (knowledge.starts or {}).get(architecture)
    start = given_start or knowledge.workbench.initial(architecture, (knowledge.root, ("start", architecture)))
    rounds = sorted({answer.round for answer in given})
    asked_ids = {t: np.concatenate([a.records for a in given if a.round == t]) for t in rounds}
    asked = {t: dataset.x_train[ids] for t, ids in asked_ids.items()}
    payloads = {t: _joined([a.payload for a in given if a.round == t]) for t in rounds}
    labels = {t: torch.from_numpy(dataset.y_train[ids]) for t, ids in asked_ids.items()}
    told = heard(view, client, dataset, knowledge.wire.in_turn)
    events = _until(rounds[-1], list(rules.protocol.course(told))) if rounds else []
    protection = own_world(knowledge, rules, client)
    replay = Replay(
        knowledge.workbench, architecture, start, events, protection.training, _held_out(knowledge, rules, client)
    )
    doubts = _doubts(view, knowledge, told, rounds[-1]) if rounds else ()
    return Course(rules, replay, asked, asked_ids, labels, payloads, given_start is not None, protection, doubts)


def _held_out(knowledge: Knowledge, rules: Rules, client: int) -> tuple[Records, ...]:
    """What a client that stops early looks at, by fold, taken as known (:data:`STOPPED`); nothing where none does."""
    env = own_environment(knowledge, rules)
    folds = [env.validation(client, fold) for fold in range(1, len(rules.division.candidates[client]) + 1)]
    return tuple(folds) if knowledge.settings.training.early_stopping is not None and any(map(len, folds)) else ()


def _doubts(view: View, knowledge: Knowledge, told: Mapping[int, Heard], last: int) -> tuple[str, ...]:
    """What is not known of a client before its answer in round ``last``, by what it was ``told``."""
    loud = {message.round for message in view.transcripts[0].messages if message.author not in (SERVER, view.position)}
    before = [number for number in range(1, last) if number not in told or not told[number].answered]
    doubts = []
    if any(told[number].unseen for number in range(1, last) if number not in before):
        doubts.append(ANEW)
    if any(number not in loud or knowledge.settings.dropout_rate for number in before):
        doubts.append(UNHEARD)
    return tuple(doubts)


def situation(view: View, knowledge: Knowledge, client: int, given: Sequence[Answer]) -> Situation:
    """What is known of ``client`` from its answers ``given``. ValueError where its course cannot be followed."""
    told, settings, dataset = course(view, knowledge, client, given), knowledge.settings, knowledge.dataset
    replay, asked, events = told.replay, told.asked, told.replay.events
    protection = told.protection
    pool = _pool(knowledge, told.rules, client, protection.kept)
    pool_x = torch.from_numpy(dataset.x_train[pool.ids])
    shown = [pool_x, *(torch.from_numpy(x) for x in asked.values())]
    shown += [torch.from_numpy(event.records.x) for event in events if isinstance(event, Fit)]
    if settings.training.augmentation:  # which may move a record to where it was empty
        shown.append(torch.ones_like(pool_x[:1]))
    model = model_of(knowledge.workbench.module(replay.architecture), shown)
    simulated = Client(
        model,
        optimiser_of(settings.training),
        settings.training,
        normalised(pool_x),
        torch.from_numpy(dataset.y_train[pool.ids]),
        [torch.from_numpy(fold) for fold in pool.folds],
        {t: normalised(torch.from_numpy(x)) for t, x in asked.items()},
        events,
        float((pool.prior * pool.largest).mean()),
        protection.training,
    )
    private = [Records(dataset.x_train[pool.ids[f]], dataset.y_train[pool.ids[f]]) for f in pool.folds]
    readings = {t: reading(payload, told.labels[t]) for t, payload in told.payloads.items()}
    message = _message(protection.wire, told.payloads, told.labels, client)
    sent = None if protection.wire is None else _sent(message, told.labels)
    return Situation(
        simulated,
        model.flatten(replay.start),
        pool,
        private,
        replay,
        asked,
        told.asked_ids,
        readings,
        message,
        sent,
        told.start_known,
        told.doubts,
    )


def own_world(knowledge: Knowledge, rules: Rules, client: int) -> Protection:
    """What the defense does to ``client``. ValueError for private training that nobody can play."""
    env = own_environment(knowledge, rules)
    defense = rules.defense(env)
    changed = prepared(env, defense)
    training, fit = None, changed.private_fit
    if fit is not None:
        if not isinstance(fit, DpSgd) or fit.layers != "all":
            raise ValueError("training with noise on every gradient is played where it is DP-SGD of all layers")
        folds = range(1, len(rules.division.candidates[client]) + 1)
        training = PrivateTraining(fit, tuple(changed.nominal(client, fold) for fold in folds))
    kept, all_of_them = (sum(len(f) for folds in one.members for f in folds) for one in (changed, env))
    return Protection(kept / all_of_them, defense, training)


def own_environment(knowledge: Knowledge, rules: Rules) -> Environment:
    """A federation of the adversary's own, with coins that it draws for all candidates."""
    draw = seeds.numpy_generator(knowledge.root, "own world")
    inclusion = knowledge.settings.data.inclusion
    members = tuple(
        tuple(ids[draw.random(len(ids)) < inclusion] for ids in folds) for folds in rules.division.candidates
    )
    return Environment(
        knowledge.settings, knowledge.root, knowledge.dataset, rules.division, members, knowledge.workbench
    )


def _message(
    defense: Defense | None, payloads: Mapping[int, Predictions], labels: Mapping[int, Tensor], client: int
) -> Callable[[Tensor, int], Predictions]:
    """What arrives of simulated logits: sent in the form that was seen, with noise of the adversary's own."""

    def message(logits: Tensor, round: int) -> Predictions:
        return behind(defense, sent_for(logits, labels[round], payloads[round].form), client, round)

    return message


def _sent(message: Callable[[Tensor, int], Predictions], labels: Mapping[int, Tensor]) -> Sent:
    """What would be read of it."""

    def sent(logits: Tensor, round: int, number: int) -> Reading:
        return reading(message(logits, round), labels[round])

    return sent


def behind(defense: Defense | None, plain: Predictions, client: int, round: int) -> Predictions:
    """What arrives of predictions that ``client`` would send without a defense."""
    if defense is None:
        return plain
    arrived = decode(encode(defense.outgoing(plain, client_name(client), round)))
    assert isinstance(arrived, Predictions)
    return arrived


def _pool(knowledge: Knowledge, rules: Rules, client: int, kept: float) -> Pool:
    """The candidates of ``client`` that are known, and stand-ins for the others, fold by fold.

    Where nobody says whose candidate each is, those of all pools, each with its chance to be this client's.
    """
    division, attack = rules.division, knowledge.attack
    pools = [client] if attack.owners == "known" else list(range(len(division.candidates)))
    chance = knowledge.settings.data.inclusion * kept / len(pools)
    draw = seeds.numpy_generator(knowledge.root, "stand-ins", client)
    columns: list[tuple[Ids, Int, Int, Float, Float]] = []
    for number in range(len(division.candidates[client])):
        parts = [_fold(division, pool, number) for pool in pools]
        ids, places = (np.concatenate(one) for one in zip(*parts, strict=True))
        known = np.ones(len(ids), dtype=bool) if knowledge.known is None else knowledge.known[places]
        hidden = int((~known).sum())
        others = draw.permutation(knowledge.auxiliary)[:hidden]
        # Where the adversary has fewer records than are unknown, each stands for several of them.
        weight = hidden / len(others) if len(others) else 1.0
        size = int(known.sum()) + len(others)
        columns.append(
            (
                np.concatenate([ids[known], others]),
                np.full(size, number),
                np.concatenate([places[known], np.full(len(others), -1)]),
                np.full(size, chance),
                np.concatenate([np.ones(int(known.sum())), np.full(len(others), weight)]),
            )
        )
    ids, fold, places, prior, largest = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return Pool(ids, fold, places, prior, largest)


def _fold(division: Division, client: int, number: int) -> tuple[Ids, Int]:
    """One fold of a pool: its records, and their positions among all candidates; empty where there is none."""
    folds = division.candidates[client]
    ids = folds[number] if number < len(folds) else folds[0][:0]
    before = [division.pool(other) for other in range(client)] + list(folds[:number])
    return ids, sum(map(len, before)) + np.arange(len(ids))


def _until(round: int, events: Sequence[Event]) -> list[Event]:
    """What comes after the last answer that is read leaves no trace."""
    last = max((i for i, event in enumerate(events) if isinstance(event, Told) and event.round <= round), default=-1)
    return list(events[: last + 1])


def _joined(payloads: Sequence[Predictions]) -> Predictions:
    return Predictions(torch.cat([payload.values for payload in payloads]), payloads[0].form)
