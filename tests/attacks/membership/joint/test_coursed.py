"""A client that is played along its course with its true coins and seeds uploads what the client uploaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.coursed import Coursed, player
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation import engine, phases
from fedprivacy.federation.course import Upload
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.study.observe import rules
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.payload import Weights

CASES: list[tuple[str, dict[str, Any]]] = [
    ("mutual", {"average_weights": True}),
    ("mutual", {"average_weights": True, "public_optimizer": "persistent", "payload": "logits"}),
    ("fedkd-hybrid", {}),
    ("fedkd-hybrid", {"order": "logits-first"}),
    ("fedkd-hybrid", {"order": "logits-first", "shared_layers": ("head",)}),
]


@pytest.mark.parametrize("position", ["server", "client-0"])
@pytest.mark.parametrize("protocol, options", CASES)
def test_played_with_the_truth_it_is_the_client(
    protocol: str, options: dict[str, Any], position: str, small_config: Callable[..., Any], tmp_path: Path
):
    config = small_config(protocol=protocol, options=options, rounds=3, attack={"attacks": ("membership",)})
    study = resolve(config)
    env, game = study.environment(config.seed)
    done = engine.run(study.protocol, env, tmp_path)
    division = game.division
    knowledge = Knowledge(
        config.attack,
        1,
        env.dataset,
        game.candidates,
        division.auxiliary,
        env.workbench,
        rules=rules(study, env, division),
        wire=study.wire,
    )
    _, played = player(view_of([done.transcript], Adversary.parse(position)), knowledge)
    assert isinstance(played, Coursed)
    client, state = 1, phases.start(env).state
    for number in (1, 2, 3):
        work = played.local(state, number, env, client)
        state = state.having(work.parts)
        (sent,) = [
            done.transcript.payload(m)
            for m in done.transcript.messages
            if (m.round, m.sender, m.kind) == (number, f"client-{client}", Weights.kind)
        ]
        assert isinstance(sent, Weights) and isinstance(work.payload, Weights)
        assert set(sent.tensors) == set(work.payload.tensors)
        for name, tensor in sent.tensors.items():
            torch.testing.assert_close(work.payload.tensors[name], tensor)


def test_a_round_that_was_not_seen_cannot_be_played(small_config: Callable[..., Any]):
    config = small_config(protocol="mutual")
    study = resolve(config)
    env, _ = study.environment(config.seed)
    with pytest.raises(ValueError, match="upload of round 1"):
        Coursed(study.protocol, {}, {}).local(phases.start(env).state, 1, env, 0)


@pytest.mark.parametrize("protocol, options", [*((name, {}) for name in CARDS), *CASES])
def test_weights_are_sent_by_course_where_the_course_says_when(
    protocol: str, options: dict[str, Any], small_config: Callable[..., Any], tmp_path: Path
):
    from fedprivacy.attacks.membership.unrolled.told import heard
    from fedprivacy.federation.course import TellsCourse

    config = small_config(protocol=protocol, options=options, rounds=1)
    study = resolve(config)
    declared = any(release.by_course for release in study.wire.releases)
    told = isinstance(study.protocol, TellsCourse)
    if told:
        env, _ = study.environment(config.seed)
        view = view_of([engine.run(study.protocol, env, tmp_path).transcript], Adversary("server"))
        events = list(study.protocol.course(heard(view, 1, env.dataset)))
        told = any(isinstance(event, Upload) for event in events)
    assert declared == told
