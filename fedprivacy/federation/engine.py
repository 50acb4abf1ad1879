"""Runs the rounds of one federation, logs them and keeps checkpoints.

A process killed at any moment leaves a log and a checkpoint; what the log holds behind that checkpoint is cut, and the
run that goes on from there equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from fedprivacy.federation.checkpoints import KEPT, Checkpoint, Pace, latest, of_round, save
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import (
    Defense,
    FederatedProtocol,
    RoundOutcome,
    RunsWhole,
    prepared,
    releases_of,
)
from fedprivacy.privacy import NoNoise, PrivacyEvent, event_from_json, event_to_json, settled
from fedprivacy.training.learner import Diverged
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
    where: Path | None,
    defense: Defense | None = None,
    progress: Progress = lambda _: None,
) -> Federation:
    """Run all rounds of ``protocol`` in ``where`` (``checkpoint/``, ``transcript/``), going on from a checkpoint.

    With None it leaves no file: messages stay in memory, and whoever is stopped begins again.

    Raises UsageError before any training where the protocol or the defense cannot do what is asked, and Diverged
    when training reaches a loss that is not finite. The events are the defense's where it covers a release.
    """
    env, planned = checked(protocol, env, defense)
    if isinstance(protocol, RunsWhole):
        return _run_whole(protocol, env, where, defense, progress, planned)
    checkpoints = None if where is None else where / "checkpoint"
    found = None if checkpoints is None else latest(checkpoints)
    log = Log(None if where is None else where / "transcript", None if found is None else found.position)
    pace = Pace()
    if found is None:
        outcome = protocol.init(env)
        state = _logged(log, outcome, [])
        if checkpoints is not None:
            pace.save(checkpoints, Checkpoint(state, log.position))
    else:
        state = found.state
    progress(state.round)
    before = state
    if checkpoints is not None and state.round == env.rounds:
        before = of_round(checkpoints, env.rounds - 1).state
    for number in range(state.round + 1, env.rounds + 1):
        before = state
        channel = Channel(number, log.contents, defense, held(before))
        outcome = protocol.round(before, number, env, channel)
        assert_finite(outcome, before)
        state = _logged(log, outcome, channel.messages)
        if checkpoints is not None and (number > env.rounds - KEPT or pace.allows()):
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
    where: Path | None,
    defense: Defense | None,
    progress: Progress,
    planned: Sequence[PrivacyEvent],
) -> Federation:
    """The same for a protocol that is not taken up between rounds: it is finished, or begins again."""
    found = None if where is None else latest(where / "checkpoint")
    log = Log(None if where is None else where / "transcript", None if found is None else found.position)

    def closed(round: int, messages: Sequence[Message], folds: Sequence[PublicFold]) -> None:
        sent = {(client_index(m.sender), release_name(m)): None for m in messages if m.sender != SERVER}
        events = [event_to_json(PrivacyEvent(client, round, name, NoNoise())) for client, name in sent]
        log.append(round, messages, folds, {"history": [], "events": events})
        progress(round)

    state = protocol.whole(env, log.contents, defense, closed) if found is None else found.state
    if found is None and where is not None:
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


def stored_transcript(where: Path) -> Transcript:
    """The transcript of a finished run folder. Raises :class:`~fedprivacy.folder.Damaged`."""
    return _transcript(*read(where))
