"""Each adversary of a run copies what it can; the clients' true answers are kept apart, for the examiner alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedprivacy import folder, seeds
from fedprivacy.adversary.threat import Adversary, Float, view_of
from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.theft.observe import Stolen, labelled_records, shuffled, steal, steal_by_asking
from fedprivacy.data.raw import Array
from fedprivacy.federation import phases
from fedprivacy.federation.dishonest import state_after
from fedprivacy.federation.environment import Environment, Part
from fedprivacy.federation.interfaces import SharesPredictions, prepared
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.federation.probes import probe_last_round
from fedprivacy.study.ran import Ran, rounds_before
from fedprivacy.wire.transcript import Transcript

TESTED = 2000
"""Test records at most on which copies are held against the models that they are of."""


def theft_path(place: Path, adversary: Adversary) -> Path:
    """Where a federation's folder holds what an adversary's copies answer."""
    return place / "observed" / f"{adversary.name}--theft.safetensors"


def truth_path(place: Path) -> Path:
    """Where it holds what the clients' models answer."""
    return place / "truth" / "theft.safetensors"


def points(rounds: int) -> tuple[int, ...]:
    """The rounds after which copies are told: a third, two thirds, all."""
    return tuple(sorted({max(1, round(rounds * share / 3)) for share in (1, 2, 3)}))


def observe_theft(ran: Ran) -> None:
    """Write the answers of every adversary's copies, and those of the clients; a failure is written with its cause."""
    queries = ran.env.dataset.x_test[:TESTED]
    for adversary in ran.study.seats.theft:
        path, knowledge = theft_path(ran.place, adversary), ran.knowledge("theft")
        try:
            if adversary.power == "active":
                found = _asked(ran, adversary, knowledge, queries)
            else:
                view = view_of([ran.done.transcript], adversary)
                found = steal(view, knowledge, points(ran.env.rounds), queries)
        except (ValueError, FloatingPointError) as error:
            folder.write_arrays(path, {}, {"failed": str(error)})
            continue
        arrays = {f"copies/{name}": logp for name, logp in found.copies.items()}
        arrays |= {"unaided": found.unaided, "course": found.course}
        header = {"order": list(found.copies), "points": list(found.points), "notes": list(found.notes)}
        folder.write_arrays(path, arrays, header)
    if ran.study.seats.theft:
        folder.write_arrays(truth_path(ran.place), {"answers": _true_answers(ran, queries)}, {})


def load_stolen(path: Path) -> Stolen | str:
    """What :func:`observe_theft` wrote, or the cause of a failure."""
    arrays, header = folder.read_arrays(path)
    if "failed" in header:
        return str(header["failed"])
    copies = {name: arrays[f"copies/{name}"] for name in header["order"]}
    return Stolen(copies, arrays["unaided"], tuple(header["points"]), arrays["course"], tuple(header["notes"]))


def load_true_answers(place: Path) -> Float:
    """Log-probabilities [points, clients, n, C] of the clients' models; the examiner's."""
    arrays, _ = folder.read_arrays(truth_path(place))
    return np.asarray(arrays["answers"], dtype=np.float64)


def _true_answers(ran: Ran, queries: Array) -> Float:
    """Of the models that answered in each of the rounds :func:`points`: before anybody learns from the answers.

    Rounds that no checkpoint holds are played again.
    """
    protocol, defense, done, place = ran.protocol, ran.defense, ran.done, ran.place
    env, found, state = prepared(ran.env, defense), [], None
    for round in points(env.rounds):
        if isinstance(protocol, SharesPredictions):
            last = round == env.rounds
            state = done.before_last if last else state_after(protocol, env, place, round - 1, defense, state)
            parts = protocol.private_phase(state, round, env).state.parts
        else:
            state = done.state if round == env.rounds else state_after(protocol, env, place, round, defense, state)
            parts = state.parts
        found.append([_answers(env, parts[phases.model_part(k)], k, queries) for k in range(env.clients)])
    return np.asarray(found)


def _answers(env: Environment, weights: Part, client: int, queries: Array) -> Float:
    logits = env.workbench.logits(env.architecture(client), weights, queries).numpy()
    return decode(logits, "logits", classes=len(env.dataset.classes))[0]


def _asked(ran: Ran, adversary: Adversary, knowledge: Knowledge, queries: Array) -> Stolen:
    """Copies by a server that asks about related and unrelated records, as many as the run's own folds held."""
    protocol, env, done = ran.protocol, ran.env, ran.done
    assert isinstance(protocol, SharesPredictions)
    own = np.unique(np.concatenate([*env.division.public, knowledge.auxiliary]))
    draw = seeds.numpy_generator(knowledge.root, "theft", "asked")
    related = draw.permutation(own)[: env.rounds * len(env.division.public[0])]
    data = env.dataset
    made = shuffled(data.x_train[related], draw)
    x, y = np.concatenate([data.x_train, made]), np.concatenate([data.y_train, data.y_train[related]])
    both = replace(data, x_train=x, y_train=y)
    unrelated = np.arange(len(data.y_train), len(y))
    room = replace(env, dataset=both)
    told: Sequence[Transcript] = probe_last_round(
        protocol, room, done.before_last, np.concatenate([related, unrelated]), 1.0, ran.place / "probes", ran.defense
    )
    honest = rounds_before(done.transcript, env.rounds)
    view, known = view_of([honest, *told], adversary), replace(knowledge, dataset=both)
    labelled = labelled_records(view_of([done.transcript], adversary))
    return steal_by_asking(view, known, related, unrelated, queries, labelled)
