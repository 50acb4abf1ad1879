"""Runs the rounds of one federation, logs them, keeps checkpoints, and answers an active server's planted folds.

A process killed at any moment leaves a log and a checkpoint; what the log holds behind that checkpoint is cut, and the
run that goes on from there equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.data.records import Ids
from fedprivacy.federation.checkpoints import KEPT, Checkpoint, Pace, latest, of_round, save
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import (
    AnswersOtherwise,
    Defense,
    FederatedProtocol,
    RoundOutcome,
    RunsWhole,
    SharesPredictions,
    prepared,
    releases_of,
)
from fedprivacy.metrics.roc import auc
from fedprivacy.privacy import NoNoise, PrivacyEvent, event_from_json, event_to_json, settled
from fedprivacy.training.learner import Diverged
from fedprivacy.training.losses import cross_entropy, log_probabilities, predicted_class
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.inferred import release_name
from fedprivacy.wire.log import Contents, Entry, Log, read
from fedprivacy.wire.parties import SERVER, client_index, client_name
from fedprivacy.wire.transcript import Message, PublicFold, Transcript

Progress = Callable[[int], None]
"""Called with the number of each finished round; 0 after the start."""


@dataclass(frozen=True, eq=False)
class Federation:
    """A finished federation."""

    state: FederationState
    before_last: FederationState
    transcript: Transcript
    history: tuple[HistoryRow, ...]
    events: tuple[PrivacyEvent, ...]


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
    env, planned = checked(protocol, env, defense)
    if isinstance(protocol, RunsWhole):
        return _run_whole(protocol, env, where, defense, progress, planned)
    checkpoints, transcript = where / "checkpoint", where / "transcript"
    found = latest(checkpoints)
    log = Log(transcript, None if found is None else found.position)
    pace = Pace()
    if found is None:
        outcome = protocol.init(env)
        state = _logged(log, outcome, [])
        pace.save(checkpoints, Checkpoint(state, log.position))
    else:
        state = found.state
    progress(state.round)
    before = state if state.round < env.rounds else of_round(checkpoints, env.rounds - 1).state
    for number in range(state.round + 1, env.rounds + 1):
        before = state
        channel = Channel(number, log.contents, defense, held(before))
        outcome = protocol.round(before, number, env, channel)
        assert_finite(outcome, before)
        state = _logged(log, outcome, channel.messages)
        if number > env.rounds - KEPT or pace.allows():
            pace.save(checkpoints, Checkpoint(state, log.position))
        progress(number)
    return Federation(
        state,
        before,
        _transcript(log.entries, log.contents),
        tuple(HistoryRow(*row) for entry in log.entries for row in entry.more["history"]),
        settled([event_from_json(event) for entry in log.entries for event in entry.more["events"]], planned),
    )


def checked(
    protocol: FederatedProtocol, env: Environment, defense: Defense | None
) -> tuple[Environment, Sequence[PrivacyEvent]]:
    """The environment that the rounds run in, and what the defense covers. UsageError where it cannot be done."""
    protocol.check(env)
    if defense is None:
        return env, ()
    releases = releases_of(protocol, env)
    defense.check(env, releases)
    return prepared(env, defense), defense.events(env, releases)


def _run_whole(
    protocol: RunsWhole,
    env: Environment,
    where: Path,
    defense: Defense | None,
    progress: Progress,
    planned: Sequence[PrivacyEvent],
) -> Federation:
    """The same for a protocol that is not taken up between rounds: it is finished, or begins again."""
    found = latest(where / "checkpoint")
    log = Log(where / "transcript", None if found is None else found.position)

    def closed(round: int, messages: Sequence[Message], folds: Sequence[PublicFold]) -> None:
        sent = {(client_index(m.sender), release_name(m)): None for m in messages if m.sender != SERVER}
        events = [event_to_json(PrivacyEvent(client, round, name, NoNoise())) for client, name in sent]
        log.append(round, messages, folds, {"history": [], "events": events})
        progress(round)

    state = protocol.whole(env, log.contents, defense, closed) if found is None else found.state
    if found is None:
        save(where / "checkpoint", Checkpoint(state, log.position))
    progress(env.rounds)
    events = settled([event_from_json(event) for entry in log.entries for event in entry.more["events"]], planned)
    return Federation(state, state, _transcript(log.entries, log.contents), (), events)


def assert_finite(outcome: RoundOutcome, before: FederationState) -> None:
    """Raise Diverged where a round left weights or losses that are not finite: the last step of all counts too."""
    number = outcome.state.round
    for part, content in outcome.state.parts.items():
        if not part.endswith("/model") or content is before.parts.get(part):
            continue
        if any(t.is_floating_point() and not bool(torch.isfinite(t).all()) for t in content.values()):
            raise Diverged(f"training diverged: {part.partition('/')[0]}, round {number}: its weights are not finite")
    for row in outcome.history:
        if not math.isfinite(row.loss):
            who = client_name(row.client) if row.client >= 0 else "the server"
            raise Diverged(f"training diverged: {who}, round {number}, {row.phase}: the loss is {row.loss}")


def _logged(log: Log, outcome: RoundOutcome, messages: Sequence[Message]) -> FederationState:
    """The state after a round that has been added to the log."""
    more = {
        "history": [list(asdict(row).values()) for row in outcome.history],
        "events": [event_to_json(event) for event in outcome.events],
    }
    log.append(outcome.state.round, messages, outcome.folds, more)
    return outcome.state


def _transcript(entries: Sequence[Entry], contents: Contents) -> Transcript:
    messages = tuple(message for entry in entries for message in entry.messages)
    return Transcript(messages, tuple(fold for entry in entries for fold in entry.folds), contents)


def held(state: FederationState) -> Callable[[str], Part]:
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
    store = Contents(where / "contents.bin")
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
            "loss": _mean_loss(logits.double(), labels),
        }
        if not math.isfinite(results[owner]["loss"]):
            raise Diverged(f"training diverged: the loss of {owner} on the test set is {results[owner]['loss']}")
        if env.settings.data.partition != "iid":
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


def _mean_loss(logits: Tensor, labels: Tensor) -> float:
    """Cross-entropy over the records [N] whose class the model has an output for."""
    if logits.shape[1] > 1:
        known = ~torch.isneginf(logits.gather(1, labels[:, None])[:, 0])
        logits, labels = logits[known], labels[known]
    return float(cross_entropy(logits, labels))


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


def stored_transcript(where: Path) -> Transcript:
    """The transcript of a finished run folder. Raises :class:`~fedprivacy.folder.Damaged`."""
    return _transcript(*read(where))
