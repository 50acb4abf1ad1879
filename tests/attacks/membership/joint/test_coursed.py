"""A client that is played along its course with its true coins and seeds uploads what the client uploaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.coursed import Coursed, player
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine, phases
from fedprivacy.federation.course import Upload
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.study.observe import rules
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.payload import Payload, Weights
from fedprivacy.wire.release import Release
from fedprivacy.wire.transcript import Transcript

IN_TURN = {"average_weights": True, "update_order": "sequential"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("mutual", {"average_weights": True}),
    ("mutual", IN_TURN),
    ("mutual", {**IN_TURN, "public_optimizer": "persistent", "payload": "losses"}),
    ("mutual", {"average_weights": True, "public_optimizer": "persistent", "payload": "logits"}),
    ("fedkd-hybrid", {}),
    ("fedkd-hybrid", {"order": "logits-first"}),
    ("fedkd-hybrid", {"order": "logits-first", "shared_layers": ("head",)}),
]


class Plain:
    """A defense that does nothing."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return payload

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        """It acts on nothing."""

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


class Noisy(Plain):
    """One that puts noise on weights, by sender and round, and leaves predictions as they are."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Weights):
            return payload
        draw = seeds.generator(0, "noisy", sender, round)
        return Weights({name: t + torch.randn(t.shape, generator=draw) for name, t in payload.tensors.items()})


def seen(config: RunConfig, where: Path, position: str, defense: Defense | None) -> tuple[Coursed, Any, Transcript]:
    """What ``position`` plays after a run under ``defense``, the true environment, and all that was sent."""
    study = resolve(config)
    env, game = study.environment(config.seed)
    done = engine.run(study.protocol, env, where, defense)
    division = game.division
    knowledge = Knowledge(
        config.attack,
        1,
        env.dataset,
        game.candidates,
        division.auxiliary,
        env.workbench,
        rules=replace(rules(study, env, division), defense=lambda _: defense),
        wire=study.wire,
    )
    _, played = player(view_of([done.transcript], Adversary.parse(position)), knowledge)
    assert isinstance(played, Coursed)
    return played, env, done.transcript


def assert_played(played: Coursed, env: Environment, transcript: Transcript, position: str) -> None:
    """With the true coins and seeds, all clients but ``position``, one after the other, upload what they uploaded."""
    state = phases.start(env).state
    for number in range(1, env.rounds + 1):
        for client in (k for k in range(env.clients) if f"client-{k}" != position):
            work = played.local(state, number, env, client)
            state = state.having(work.parts)
            (sent,) = [
                transcript.payload(m)
                for m in transcript.messages
                if (m.round, m.sender, m.kind) == (number, f"client-{client}", Weights.kind)
            ]
            defense: Any = played.defense or Plain()
            arrived = defense.outgoing(work.payload, f"client-{client}", number)
            assert isinstance(sent, Weights) and isinstance(arrived, Weights)
            assert set(sent.tensors) == set(arrived.tensors)
            for name, tensor in sent.tensors.items():
                torch.testing.assert_close(arrived.tensors[name], tensor)


@pytest.mark.parametrize("position", ["server", "client-0", "client-2"])
@pytest.mark.parametrize("protocol, options", CASES)
def test_played_with_the_truth_they_are_the_clients(
    protocol: str, options: dict[str, Any], position: str, small_config: Callable[..., Any], tmp_path: Path
):
    config = small_config(protocol=protocol, options=options, rounds=3, attack={"attacks": ("membership",)})
    assert_played(*seen(config, tmp_path, position, None), position)


def test_what_is_told_in_turn_passes_through_the_defense(small_config: Callable[..., Any], tmp_path: Path):
    """A peer has to play what the client after it told the last one."""
    config = small_config(options=IN_TURN, attack={"attacks": ("membership",)}, defense={"name": "top-k"})
    study = resolve(config)
    defense = study.defense(study.environment(config.seed)[0])
    played, env, transcript = seen(config, tmp_path, "client-0", defense)
    assert_played(played, env, transcript, "client-0")
    with pytest.raises(AssertionError, match="not close"):
        assert_played(replace(played, defense=Plain()), env, transcript, "client-0")


@pytest.mark.parametrize("position", ["server", "client-0"])
@pytest.mark.parametrize("options", [{}, {"order": "logits-first", "shared_layers": ("head",)}])
def test_a_client_goes_on_from_its_own_weights_whatever_a_defense_sent(
    options: dict[str, Any], position: str, small_config: Callable[..., Any], tmp_path: Path
):
    """The hidden layer, which nobody is sent, is trained beside the client's own head and not beside the noised one."""
    config = small_config(protocol="fedkd-hybrid", options=options, rounds=3, attack={"attacks": ("membership",)})
    assert_played(*seen(config, tmp_path, position, Noisy()), position)


def test_uploads_are_taken_over_where_they_are_the_weights_themselves(small_config: Callable[..., Any], tmp_path: Path):
    config = small_config(protocol="fedkd-hybrid", rounds=1, attack={"attacks": ("membership",)})
    for number, (defense, altered) in enumerate([(None, False), (Plain(), False), (Noisy(), True)]):
        played, _, _ = seen(config, tmp_path / f"{number}", "server", defense)
        assert [not one.sent for one in played.told.values()] == [altered] * 3


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
