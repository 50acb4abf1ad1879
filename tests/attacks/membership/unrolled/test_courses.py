"""A client that is followed from outside, with its true coins and seeds, says what the client said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.received import answers
from fedprivacy.attacks.membership.unrolled.replay import Replay
from fedprivacy.attacks.membership.unrolled.told import heard
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation import engine, phases
from fedprivacy.federation.course import TellsCourse
from fedprivacy.federation.interfaces import SharesPredictions
from fedprivacy.protocols.mutual import released
from fedprivacy.study.resolve import resolve
from tests.attacks.membership.unrolled.conftest import seeds_of

CASES: list[tuple[str, dict[str, Any]]] = [
    ("mutual", {}),
    ("mutual", {"update_order": "sequential", "public_optimizer": "persistent"}),
    ("mutual", {"peer_mode": "mean", "payload": "logits"}),
    ("mutual", {"payload": "losses"}),
    ("mutual", {"average_weights": True}),
    ("ds-fl", {}),
    ("fedmd", {"transfer_epochs": 1}),
    ("cfd", {"dual_epochs": 2, "distill_epochs": 1, "bits_up": 32}),
    ("fedkd-hybrid", {}),
    ("fedkd-hybrid", {"order": "logits-first", "shared_layers": ("head",)}),
]


@pytest.mark.parametrize("position", ["server", "client-0"])
@pytest.mark.parametrize("protocol, options", CASES)
def test_a_replay_with_the_truth_is_the_client(
    protocol: str, options: dict[str, Any], position: str, small_config: Callable[..., Any], tmp_path: Path
):
    config = small_config(protocol=protocol, options=options, rounds=3)
    env, _ = resolve(config).environment(config.seed)
    made = resolve(config).protocol
    assert isinstance(made, TellsCourse)
    done = engine.run(made, env, tmp_path)
    client = 1
    by_peer = position != "server"
    if by_peer and options.get("peer_mode") == "mean":
        pytest.skip("a mean that leaves the receiver out is seen by its receiver and the server alone")
    view = view_of([done.transcript], Adversary.parse(position))
    told = heard(view, client, env.dataset, resolve(config).wire.in_turn)
    if by_peer and protocol != "mutual":
        # A peer sees no answer of the target; that it took part, everybody knows.
        told = {number: replace(one, answered=True) for number, one in told.items()}
    start = phases.start(env).state.parts[phases.model_part(client)]
    replay = Replay(env.workbench, env.architecture(client), start, list(made.course(told)))
    asked = {number: one.fold.x for number, one in told.items()}
    members = [env.records(fold) for fold in env.members[client]]
    found = replay.answers(members, asked, seeds_of(env.root, client))
    own = list(answers(view_of([done.transcript], Adversary("server"))))
    said = {answer.round: answer.payload for answer in own if answer.client == client}
    assert set(said) == set(found) == {1, 2, 3}
    for number, payload in said.items():
        labels = torch.from_numpy(told[number].fold.y)
        torch.testing.assert_close(released(found[number], labels, payload.form), payload.values, check_dtype=False)


@pytest.mark.parametrize("protocol, options", [CASES[1], *CASES[6:9]])
def test_a_replay_of_who_sits_rounds_out_is_the_client(
    protocol: str, options: dict[str, Any], small_config: Callable[..., Any], tmp_path: Path
):
    config = small_config(protocol=protocol, options=options, rounds=5, participation=0.5, clients=4)
    study = resolve(config)
    env, made = study.environment(config.seed)[0], study.protocol
    assert isinstance(made, TellsCourse)
    view = view_of([engine.run(made, env, tmp_path).transcript], Adversary("server"))
    start = phases.start(env).state.parts[phases.model_part(0)]
    for client in range(4):
        told = heard(view, client, env.dataset, study.wire.in_turn)
        replay = Replay(env.workbench, env.architecture(client), start, list(made.course(told)))
        asked = {number: one.fold.x for number, one in told.items()}
        members = [env.records(fold) for fold in env.members[client]]
        found = replay.answers(members, asked, seeds_of(env.root, client))
        said = {answer.round: answer.payload for answer in answers(view) if answer.client == client}
        assert set(said) == set(found) == {number for number in range(1, 6) if client in env.participants(number)}
        for number, payload in said.items():
            labels = torch.from_numpy(told[number].fold.y)
            torch.testing.assert_close(released(found[number], labels, payload.form), payload.values, check_dtype=False)


@pytest.mark.parametrize("me", [0, 1, 2, 3])
def test_of_what_is_told_in_turn_a_peer_knows_what_each_had_heard(
    me: int, small_config: Callable[..., Any], tmp_path: Path
):
    """The server sees what every client was sent; a peer does not see what those between it and a later one say."""
    config = small_config(clients=4, options={"update_order": "sequential"})
    study = resolve(config)
    env, _ = study.environment(config.seed)
    done = engine.run(study.protocol, env, tmp_path)
    sights = [view_of([done.transcript], Adversary.parse(name)) for name in ("server", f"client-{me}")]
    for client in range(4):
        whole, part = (heard(view, client, env.dataset, study.wire.in_turn) for view in sights)
        for number in (1, 2):
            assert whole[number].unseen == frozenset()
            assert part[number].unseen == (frozenset(range(me + 1, client)) if me != client else frozenset())
            assert set(whole[number].predictions) == set(part[number].predictions) == set(range(4)) - {client}
            for peer, said in whole[number].predictions.items():
                same = torch.equal(said.values, part[number].predictions[peer].values)
                assert same == (peer not in part[number].unseen)


def test_every_protocol_that_shares_predictions_tells_its_course(small_config: Callable[..., Any]):
    for name in CARDS:
        made = resolve(small_config(protocol=name)).protocol
        assert isinstance(made, TellsCourse) == isinstance(made, SharesPredictions)
