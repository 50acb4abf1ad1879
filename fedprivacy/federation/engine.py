"""Runs the rounds of one federation, with a checkpoint after each, and answers an active server's planted folds.

A checkpoint is one file, renamed into place: state, history, events, messages and folds together. A process killed at
any moment leaves the last whole round, and the run that goes on from there equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from fedprivacy import folder
from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.data.records import Ids
from fedprivacy.federation.interfaces import (
    AnswersOtherwise,
    Defense,
    Environment,
    FederatedProtocol,
    FederationState,
    HistoryRow,
    Part,
    RoundOutcome,
    SharesPredictions,
    prepared,
    releases_of,
)
from fedprivacy.metrics.roc import auc
from fedprivacy.privacy import PrivacyEvent, event_from_json, event_to_json, settled
from fedprivacy.training.losses import cross_entropy, log_probabilities, predicted_class
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import unshared
from fedprivacy.wire.parties import client_index
from fedprivacy.wire.transcript import Message, PublicFold, Transcript

Progress = Callable[[int], None]
"""Called with the number of each finished round; 0 after the start."""

KEPT = 2
"""Checkpoints kept: the last, and the one before it, from which a last round can be played again."""


@dataclass(frozen=True, eq=False)
class Federation:
    """A finished federation."""

    state: FederationState
    before_last: FederationState
    transcript: Transcript
    history: tuple[HistoryRow, ...]
    events: tuple[PrivacyEvent, ...]


@dataclass(frozen=True, eq=False)
class _Log:
    """All that a run has left behind so far."""

    state: FederationState
    history: tuple[HistoryRow, ...] = ()
    events: tuple[PrivacyEvent, ...] = ()
    messages: tuple[Message, ...] = ()
    folds: tuple[PublicFold, ...] = ()

    def and_then(self, outcome: RoundOutcome, messages: Sequence[Message]) -> _Log:
        return _Log(
            outcome.state,
            (*self.history, *outcome.history),
            (*self.events, *outcome.events),
            (*self.messages, *messages),
            (*self.folds, *outcome.folds),
        )


def run(
    protocol: FederatedProtocol,
    env: Environment,
    where: Path,
    defense: Defense | None = None,
    progress: Progress = lambda _: None,
) -> Federation:
    """Run all rounds of ``protocol`` in ``where`` (``checkpoint/``, ``transcript/``), going on from a checkpoint.

    Raises UsageError before any training where the protocol or the defense cannot do what is asked, and Diverged
    when training reaches a loss that is not finite. The events are the defense's where it covers a release.
    """
    protocol.check(env)
    planned: Sequence[PrivacyEvent] = ()
    if defense is not None:
        releases = releases_of(protocol, env)
        defense.check(env, releases)
        planned, env = defense.events(env, releases), prepared(env, defense)
    checkpoints, store = where / "checkpoint", folder.FolderStore(where / "transcript")
    log = latest(checkpoints)
    if log is None:
        outcome = protocol.init(env)
        log = _Log(outcome.state).and_then(outcome, [])
        _save(checkpoints, log)
    progress(log.state.round)
    for number in range(log.state.round + 1, env.rounds + 1):
        channel = Channel(number, store, defense, _held(log.state))
        outcome = protocol.round(log.state, number, env, channel)
        log = log.and_then(outcome, channel.messages)
        _save(checkpoints, log)
        progress(number)
    _write_index(where / "transcript", log)
    before = _load(checkpoints / _name(env.rounds - 1)).state
    transcript = Transcript(log.messages, log.folds, store)
    return Federation(log.state, before, transcript, log.history, settled(log.events, planned))


def _held(state: FederationState) -> Callable[[str], Part]:
    """The weights of a party at the start of a round."""
    return lambda party: state.parts[f"{party}/model"]


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
    where: Path,
    defense: Defense | None = None,
) -> list[Transcript]:
    """What an active server would have received, had it planted ``probes`` in the last round's fold.

    Each alternative last fold is one transcript. Predictions are taken before anybody trains on the fold, so the
    honest run up to there is the same, and each probe's first exposure is clean.
    """
    number, env = env.rounds, prepared(env, defense)
    private = protocol.private_phase(before_last, number, env).state
    store = folder.FolderStore(where)
    transcripts = []
    for planted in planted_folds(probes, env.division.public[number - 1], share):
        channel = Channel(number, store, defense)
        shared = protocol.share(private, number, env.with_planted({number: planted}), channel)
        transcripts.append(Transcript(tuple(channel.messages), (shared.fold,), store))
    return transcripts


def tested(models: Mapping[str, tuple[str, Part]], env: Environment) -> dict[str, dict[str, float]]:
    """Accuracy and mean cross-entropy (nats) of each model on the test set.

    Where the clients' records are skewed also ``own_accuracy``: the test set weighted to the class frequencies of a
    client's private records; for a model that is not a client's, the mean over all clients.

    For two classes also the AUC, and ``tuned_accuracy``: at the threshold that is best on a client's validation
    records, where there are any; for a model that is not a client's, the mean over every client's threshold, so that
    it has no more records to tune on. It tells a better model from one that merely sits at a better threshold.
    """
    x, labels = env.dataset.x_test, torch.from_numpy(env.dataset.y_test)

    def whose(owner: str) -> Sequence[int]:
        return [client_index(owner)] if owner.startswith("client-") else range(env.clients)

    results = {}
    for owner, (architecture, weights) in models.items():
        logits = env.workbench.logits(architecture, weights, x)
        right = predicted_class(logits) == labels
        results[owner] = {
            "accuracy": float(right.double().mean()),
            "loss": float(cross_entropy(logits.double(), labels)),
        }
        if env.config.data.partition != "iid":
            own = [
                own_accuracy(right.numpy(), env.dataset.y_test, _private_labels(env, client)) for client in whose(owner)
            ]
            results[owner]["own_accuracy"] = float(np.mean(own))
        if len(env.dataset.classes) == 2:
            score = _margin(logits)
            results[owner]["auc"] = auc(score[env.dataset.y_test == 1], score[env.dataset.y_test == 0])
            tuned = []
            for client in whose(owner):
                held_out = env.records(np.concatenate(env.division.validation[client]))
                if len(held_out):
                    known = _margin(env.workbench.logits(architecture, weights, held_out.x))
                    threshold = best_threshold(known, held_out.y == 1)
                    tuned.append(((score > threshold) == (env.dataset.y_test == 1)).mean())
            if tuned:
                results[owner]["tuned_accuracy"] = float(np.mean(tuned))
    return results


def tested_otherwise(
    protocol: FederatedProtocol, state: FederationState, env: Environment
) -> dict[str, dict[str, float]]:
    """Test accuracy of every owner that also answers in another way; empty where there is none or not from all."""
    if not isinstance(protocol, AnswersOtherwise):
        return {}
    labels = torch.from_numpy(env.dataset.y_test)
    answers = protocol.answers(state, env, env.dataset.x_test)
    if answers.keys() != protocol.models(state, env).keys():
        return {}
    name = f"{protocol.answers_by}_accuracy"
    return {owner: {name: float((s.argmax(dim=1) == labels).double().mean())} for owner, s in answers.items()}


def own_accuracy(right: Bool, tested: Ids, private: Ids) -> float:
    """Share of right answers on test records [N] of classes ``tested``, weighted to the frequencies of ``private`` [n].

    Classes that the test set lacks are left out; without any in common it is the plain share.
    """
    classes, counts = np.unique(private[np.isin(private, tested)], return_counts=True)
    if not len(classes):
        return float(right.mean())
    return float(np.average([right[tested == label].mean() for label in classes], weights=counts))


def _private_labels(env: Environment, client: int) -> Ids:
    """The classes of all records that a client trains on, whatever the round."""
    return env.dataset.y_train[np.concatenate(env.members[client])]


def _margin(logits: Tensor) -> Float:
    pairs = log_probabilities(logits.double())
    return np.asarray((pairs[:, 1] - pairs[:, 0]).numpy())


def best_threshold(scores: Float, positive: Bool) -> float:
    """The cut between two neighbouring scores [n] with the most right answers; the one nearest 0 among equals."""
    order = np.sort(np.unique(scores))
    cuts = np.concatenate([[order[0] - 1.0], (order[:-1] + order[1:]) / 2, [order[-1] + 1.0, 0.0]])
    right = ((scores[None, :] > cuts[:, None]) == positive[None, :]).sum(axis=1)
    best = cuts[right == right.max()]
    return float(best[np.abs(best).argmin()])


def latest(checkpoints: Path) -> _Log | None:
    """The newest checkpoint, or None."""
    files = sorted(checkpoints.glob("round-*.safetensors"))
    return _load(files[-1]) if files else None


def rounds_done(where: Path) -> int | None:
    """The last whole round in a run folder; None before the start."""
    files = sorted((where / "checkpoint").glob("round-*.safetensors"))
    found = re.search(r"round-(\d+)", files[-1].name) if files else None
    return int(found[1]) if found else None


def _name(round: int) -> str:
    return f"round-{round:05d}.safetensors"


def _save(checkpoints: Path, log: _Log) -> None:
    tensors = {f"{part}|{name}": t for part, content in log.state.parts.items() for name, t in content.items()}
    header = {
        "round": log.state.round,
        "parts": {part: list(content) for part, content in log.state.parts.items()},
        "history": [list(asdict(row).values()) for row in log.history],
        "events": [event_to_json(event) for event in log.events],
        "messages": [list(asdict(message).values()) for message in log.messages],
        "folds": [_fold_to_json(fold) for fold in log.folds],
    }
    data = safetensors.torch.save(unshared(tensors), {"header": json.dumps(header)})
    folder.write_bytes(checkpoints / _name(log.state.round), data)
    for old in sorted(checkpoints.glob("round-*.safetensors"))[:-KEPT]:
        old.unlink(missing_ok=True)


def _load(path: Path) -> _Log:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["header"])
    stored = safetensors.torch.load(data)
    parts = {part: {name: stored[f"{part}|{name}"] for name in names} for part, names in header["parts"].items()}
    return _Log(
        FederationState(header["round"], parts),
        tuple(HistoryRow(*row) for row in header["history"]),
        tuple(event_from_json(event) for event in header["events"]),
        tuple(Message(*message) for message in header["messages"]),
        tuple(_fold_from_json(fold) for fold in header["folds"]),
    )


def _fold_to_json(fold: PublicFold) -> dict[str, Any]:
    return {**vars(fold), "records": fold.records.tolist()}


def _fold_from_json(fold: Mapping[str, Any]) -> PublicFold:
    return PublicFold(**{**fold, "records": np.asarray(fold["records"], dtype=np.int64)})


def _write_index(where: Path, log: _Log) -> None:
    index = {
        "messages": [asdict(message) for message in log.messages],
        "folds": [_fold_to_json(fold) for fold in log.folds],
    }
    folder.write_json(where / "index.json", index)


def stored_transcript(where: Path) -> Transcript:
    """The transcript of a finished run folder."""
    index = json.loads((where / "index.json").read_text())
    messages = tuple(Message(**message) for message in index["messages"])
    return Transcript(messages, tuple(map(_fold_from_json, index["folds"])), folder.FolderStore(where))
