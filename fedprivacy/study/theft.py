"""Each adversary of a run copies what it can; the clients' true answers are kept apart, for the examiner alone."""

from __future__ import annotations

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
from fedprivacy.federation.interfaces import RunsWhole, SharesPredictions, prepared
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.federation.probes import probe_last_round
from fedprivacy.study.attempt import attempt
from fedprivacy.study.planted import probe_by_running_again
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


UNKNOWN = "no model that a client ends with is known; say wire.ended('client-0', net), or return {'client-0': net}"
ENDED = "copies are held against the models that clients end with, after they learned from the last answers"


def told_after(ran: Ran) -> tuple[int, ...]:
    """The rounds after which copies are told; of what runs as a whole only the end is known."""
    return (ran.env.rounds,) if isinstance(ran.protocol, RunsWhole) else points(ran.env.rounds)


def points(rounds: int) -> tuple[int, ...]:
    """A third of the rounds, two thirds, all."""
    return tuple(sorted({max(1, round(rounds * share / 3)) for share in (1, 2, 3)}))


def observe_theft(ran: Ran) -> None:
    """Write the answers of every adversary's copies, and those of the clients; a failure is written with its cause."""
    queries = ran.env.dataset.x_test[:TESTED]
    truth = _true_answers(ran, queries) if ran.study.seats.theft else np.empty(0)
    for adversary in ran.study.seats.theft:
        path, knowledge = theft_path(ran.place, adversary), ran.knowledge("theft")
        with attempt(path):
            if np.isnan(truth).all():
                raise ValueError(UNKNOWN)
            if adversary.power == "active":
                found = _asked(ran, adversary, knowledge, queries)
            else:
                view = view_of([ran.done.transcript], adversary)
                found = steal(view, knowledge, told_after(ran), queries)
            arrays = {f"copies/{name}": logp for name, logp in found.copies.items()}
            arrays |= {"unaided": found.unaided, "course": found.course}
            notes = [*found.notes, *([ENDED] if isinstance(ran.protocol, RunsWhole) else [])]
            header = {"order": list(found.copies), "points": list(found.points), "notes": notes}
            folder.write_arrays(path, arrays, header)
    if ran.study.seats.theft:
        folder.write_arrays(truth_path(ran.place), {"answers": truth}, {})


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

    Rounds that no checkpoint holds are played again. Of what runs as a whole those that it ends with; NaN for a client
    whose model is not known.
    """
    protocol, defense, done, place = ran.protocol, ran.defense, ran.done, ran.place
    if isinstance(protocol, RunsWhole):
        known = done.state.parts
        nothing = np.full((len(queries), len(ran.env.dataset.classes)), np.nan)
        ends = [known.get(phases.model_part(k)) for k in range(ran.env.clients)]
        return np.asarray([[nothing if w is None else _answers(ran.env, w, k, queries) for k, w in enumerate(ends)]])
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
    own = np.unique(np.concatenate([*env.division.public, knowledge.auxiliary]))
    draw = seeds.numpy_generator(knowledge.root, "theft", "asked")
    related = draw.permutation(own)[: env.rounds * len(env.division.public[0])]
    data = env.dataset
    made = shuffled(data.x_train[related], draw)
    x, y = np.concatenate([data.x_train, made]), np.concatenate([data.y_train, data.y_train[related]])
    both = replace(data, x_train=x, y_train=y)
    unrelated = np.arange(len(data.y_train), len(y))
    room = replace(env, dataset=both)
    probes, place, told = np.concatenate([related, unrelated]), ran.place / "probes", list[Transcript]()
    if isinstance(protocol, SharesPredictions):
        told = probe_last_round(protocol, room, done.before_last, probes, 1.0, place, ran.defense)
    else:
        told = probe_by_running_again(protocol, room, probes, place, ran.defense)
    honest = rounds_before(done.transcript, env.rounds)
    view, known = view_of([honest, *told], adversary), replace(knowledge, dataset=both)
    labelled = labelled_records(view_of([done.transcript], adversary))
    return steal_by_asking(view, known, related, unrelated, queries, labelled)
