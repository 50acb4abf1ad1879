"""What a protocol declares is what crosses the wire: each message has a declaration, each declaration a message.

The oracle is the transcript of a real run; whose knowledge a message carries is told by its content alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.config.base import build
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.payload import Predictions, Update, Weights
from fedprivacy.wire.release import MODELS, Release
from fedprivacy.wire.transcript import Message, Transcript

Run = tuple[Any, Transcript]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in CARDS),
    ("mutual", {"average_weights": True, "update_order": "sequential"}),
    ("mutual", {"peer_mode": "mean", "payload": "logits"}),
    ("fedavg", {"weighting": "uniform"}),
    ("layerwise-async", {"deep_every": 2}),
    ("fedmd", {"consensus_weights": "validation"}),
    ("cfd", {"bits_up": 32, "bits_down": 32}),
    ("feddf", {"weighting": "uniform"}),
    ("fedkd-hybrid", {"shared_layers": ("head",)}),
    ("fedkd-hybrid", {"order": "logits-first", "weighting": "uniform"}),
    ("dfedavg", {"mixing": "uniform"}),
]


def named(case: tuple[str, dict[str, Any]]) -> str:
    return " ".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


def small(protocol: str, options: dict[str, Any]) -> RunConfig:
    """Three clients, four rounds, a few records."""
    data = {"dataset": "digits", "candidates": 24, "public_size": 20, "auxiliary": 20, "validation": 0.1}
    content = {"protocol": protocol, "options": options, "clients": 3, "rounds": 4, "data": data}
    return build(RunConfig, {**content, "training": {"local_epochs": 1}}, "test")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, dict[str, Any]], Run]:
    """One short federation a case, run once."""
    kept: dict[str, Run] = {}

    def ran(name: str, options: dict[str, Any]) -> Run:
        key = named((name, options))
        if key not in kept:
            fields = CARDS[name].options.model_fields
            brief = {field: 1 for field, info in fields.items() if field.endswith("epochs") and info.default > 1}
            brief |= {field: 4 for field in ("steps", "patience") if field in fields}
            config = small(name, {**brief, **options})
            protocol, (env, _) = resolve(config).protocol, resolve(config).environment(0)
            kept[key] = config, engine.run(protocol, env, tmp_path_factory.mktemp("run")).transcript
        return kept[key]

    return ran


def role(party: str) -> str:
    return SERVER if party == SERVER else "client"


def declared_for(message: Message, releases: Sequence[Release]) -> list[Release]:
    """The declarations that a message may be of."""
    receivers = {SERVER} if message.receiver == SERVER else {"clients" if message.sender == SERVER else "neighbours"}
    return [
        r
        for r in releases
        if r.sender == role(message.sender) and r.receivers in receivers and message.kind in (r.kind, r.opened)
    ]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_message_is_declared_and_every_declaration_is_sent(case: Any, runs: Any) -> None:
    config, transcript = runs(*case)
    releases = resolve(config).wire.releases
    seen: set[Release] = set()
    for message in transcript.messages:
        found = declared_for(message, releases)
        assert found, f"{message.sender} -> {message.receiver}: {message.kind}, {message.purpose}"
        seen |= set(found)
    assert seen == set(releases)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] == "mutual"], ids=named)
def test_what_is_told_in_turn_is_told_anew_to_those_after_alone(case: Any, runs: Any) -> None:
    config, transcript = runs(*case)
    told = Counter((m.round, m.author, m.receiver) for m in transcript.messages if m.passed_on)
    in_turn = resolve(config).wire.in_turn
    assert in_turn == (case[1].get("update_order") == "sequential")
    assert bool(told) == (case[1].get("peer_mode") != "mean")
    for (_, author, receiver), number in told.items():
        assert number == (2 if in_turn and client_index(author) < client_index(receiver) else 1)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_messages_of_a_round_are_as_many_as_declared(case: Any, runs: Any) -> None:
    config, transcript = runs(*case)
    wire = resolve(config).wire
    if wire.model is not None and wire.model.by_job:  # fast clients send more in a round than slow ones
        uploads = [m for m in transcript.messages if m.sender != SERVER]
        assert len(uploads) == config.rounds * wire.model.times
        return
    sent = Counter((m.round, m.sender, m.digest, m.kind) for m in transcript.messages if m.sender != SERVER)
    for number in range(1, config.rounds + 1):
        for client in range(config.clients):
            own = [kind for (t, sender, _, kind) in sent if t == number and sender == f"client-{client}"]
            most = sum(r.times for r in wire.releases if r.sender == "client")
            assert len(own) <= most


@pytest.mark.parametrize("case", CASES, ids=named)
def test_what_is_passed_on_is_one_clients_and_a_mean_is_the_mean(case: Any, runs: Any) -> None:
    """The server's message equals one upload under ``relay``, and their plain mean under ``mean``."""
    config, transcript = runs(*case)
    wire = resolve(config).wire
    checked = 0
    for release in wire.releases:
        if release.sender != SERVER or release.of not in ("relay", "mean") or release.sharpened is not None:
            continue
        back = [m for m in transcript.messages if m.sender == SERVER and declared_for(m, [release])]
        for message in back:
            up = [m for m in transcript.messages if m.sender != SERVER and m.round == message.round]
            up = [m for m in up if m.kind == message.kind]
            if release.of == "relay":
                assert message.digest in {m.digest for m in up}
            elif message.kind in ("weights", "predictions"):
                mean = [np.mean(columns, axis=0) for columns in zip(*[flat(transcript, m) for m in up], strict=True)]
                for one, other in zip(flat(transcript, message), mean, strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
            else:
                continue
            checked += 1
    asked = [r for r in wire.releases if r.of == "relay" or (r.of == "mean" and r.kind in ("weights", "predictions"))]
    assert bool(checked) == any(r.sharpened is None for r in asked if r.sender == SERVER)


def flat(transcript: Transcript, message: Message) -> list[np.ndarray]:
    payload = transcript.payload(message)
    if isinstance(payload, Predictions):
        return [payload.values.double().numpy()]
    assert isinstance(payload, Weights | Update)
    return [payload.tensors[name].double().numpy() for name in sorted(payload.tensors)]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_model_is_whole_when_it_is_said_to_be(case: Any, runs: Any) -> None:
    config, transcript = runs(*case)
    wire = resolve(config).wire
    sent = wire.model
    if sent is None:
        return
    env, _ = resolve(config).environment(0)
    whole = set(env.workbench.module(wire.travelling(0)).state_dict())
    held: set[str] = set()
    for number in range(1, config.rounds + 1):
        for message in transcript.messages:
            if message.round == number and message.sender == "client-0" and message.kind in MODELS:
                payload = transcript.payload(message)
                assert isinstance(payload, Weights | Update)
                held |= set(payload.tensors)
        if sent.kind in ("weights", "update") and not sent.by_job:
            assert (held == whole) == (sent.whole_after is not None and sent.whole_after <= number), number


STARTING = [case for case in CASES if resolve(small(*case)).wire.model]


@pytest.mark.parametrize("case", STARTING, ids=named)
def test_a_reference_that_others_know_is_where_training_began(case: Any, runs: Any, tmp_path: Path) -> None:
    """With a learning rate of nothing, what a client sends is the weights that it started from."""
    config, _ = runs(*case)
    sent = resolve(config).wire.model
    assert sent is not None
    still = config.model_copy(
        update={"training": config.training.model_copy(update={"optimizer": "sgd", "lr": 1e-30, "init": "shared"})}
    )
    env, _ = resolve(still).environment(0)
    protocol = resolve(still).protocol
    start = protocol.init(env).state.parts
    common = start.get("server/model") or start["client-0/model"]
    told = engine.run(protocol, env, tmp_path / "still").transcript
    held: dict[str, dict[str, Tensor]] = {f"client-{k}": dict(common) for k in range(config.clients)}
    first: set[str] = set()
    for message in told.messages:
        if message.kind not in MODELS:
            continue
        payload = told.payload(message)
        if message.sender == SERVER:
            tensors = payload.tensors if isinstance(payload, Weights) else _added(held[message.receiver], payload)
            held[message.receiver] = {**held[message.receiver], **tensors}
            continue
        known = sent.reference == "received" or (sent.reference == "start" and message.sender not in first)
        first.add(message.sender)
        if known:
            moved = payload.tensors if isinstance(payload, Weights) else _added(held[message.sender], payload)
            for name, tensor in moved.items():
                torch.testing.assert_close(tensor.double(), held[message.sender][name].double(), rtol=1e-4, atol=1e-5)


def _added(held: dict[str, Tensor], payload: Any) -> dict[str, Tensor]:
    return {name: held[name] + change for name, change in payload.tensors.items()}
