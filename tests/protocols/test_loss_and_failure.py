"""Every protocol under loss and failure: dropped clients, absent ones, a killed run, training that diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation import engine
from fedprivacy.federation.environment import FederationState
from fedprivacy.federation.tested import scored
from fedprivacy.training.learner import Diverged
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.transcript import MemoryStore

NAMES = list(CARDS)
SENDING = [name for name, card in CARDS.items() if not card.bound]
FAST: dict[str, dict[str, Any]] = {"feddf": {"steps": 60, "patience": 30}, "fedbuff": {"buffer": 2}}
"""Options that only shorten."""
IN_STEP = [name for name in SENDING if name not in ("fedasync", "fedbuff")]
World = Any
MakeWorld = Callable[..., World]


def frozen(state: FederationState) -> dict[str, dict[str, torch.Tensor]]:
    return {part: {name: t.clone() for name, t in content.items()} for part, content in state.parts.items()}


def same(a: Mapping[str, Mapping[str, torch.Tensor]], b: Mapping[str, Mapping[str, torch.Tensor]]) -> bool:
    return a.keys() == b.keys() and all(
        a[p].keys() == b[p].keys() and all(torch.equal(a[p][n], b[p][n]) for n in a[p]) for p in a
    )


@pytest.mark.parametrize("name", NAMES)
def test_learns(name: str, world: MakeWorld) -> None:
    options = {**FAST.get(name, {}), **({"server_lr": 1.0} if name == "fedbuff" else {})}
    here = world(
        name, options, sizes=(40, 40, 40), rounds=4, training={"local_epochs": 4, "batch_size": 10, "lr": 0.03}
    )
    done = here.run()
    accuracy = np.mean([r["accuracy"] for r in scored(here.protocol.models(done.state, here.env), here.env).values()])
    before = here.protocol.init(here.env).state
    start = np.mean([r["accuracy"] for r in scored(here.protocol.models(before, here.env), here.env).values()])
    assert accuracy > max(0.6, start if name != "fedmd" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_receivers_share_no_memory_with_senders(name: str, world: MakeWorld) -> None:
    """A receiver that scribbles over what it got changes nothing that the sender keeps."""
    here = world(name, FAST.get(name))
    protocol = here.protocol
    state = protocol.init(here.env).state

    class Copying(Channel):
        def send(self, sender, receivers, payload, purpose=""):  # type: ignore[no-untyped-def]
            kept = [t.clone() for t in tensors_of(payload)]
            copy = super().send(sender, receivers, payload, purpose)
            theirs = {t.data_ptr() for t in tensors_of(copy) if t.numel()}
            assert not theirs & {t.data_ptr() for t in tensors_of(payload) if t.numel()}
            assert all(map(torch.equal, kept, tensors_of(payload)))
            return copy

    protocol.round(state, 1, here.env, Copying(1, MemoryStore()))


def tensors_of(payload: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for content in vars(payload).values():
        if isinstance(content, torch.Tensor):
            found.append(content)
        elif isinstance(content, Mapping):
            found += content.values()
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer_state", ["persistent", "fresh"])
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, optimizer_state: str, world: MakeWorld) -> None:
    changes = {"participation": 0.7, "dropout_rate": 0.2, "training": {"optimizer_state": optimizer_state}}
    here = world(name, FAST.get(name), rounds=4, **changes)
    whole = here.run()
    place: Path = here.where / "interrupted"

    class Killed(Exception):
        pass

    def kill(number: int) -> None:
        if number == 2:
            raise Killed

    with pytest.raises(Killed):
        engine.run(here.protocol, here.env, place, progress=kill)
    rest = world(name, FAST.get(name), rounds=4, **changes)
    resumed = engine.run(rest.protocol, rest.env, place)
    assert same(whole.state.parts, resumed.state.parts)
    assert whole.transcript.messages == resumed.transcript.messages
    assert whole.events == resumed.events


@pytest.mark.parametrize("name", IN_STEP)
def test_who_drops_out_sends_nothing(name: str, world: MakeWorld) -> None:
    here = world(name, FAST.get(name), dropout_rate=0.5, rounds=4, sizes=(8, 8, 8, 8))
    done = here.run()
    for number in range(1, 5):
        senders = {client_index(m.sender) for m in done.transcript.messages if m.sender != SERVER and m.round == number}
        assert senders == set(here.env.senders(number))
        assert senders <= set(here.env.participants(number))


@pytest.mark.parametrize("name", SENDING)
def test_when_everybody_drops_out_nothing_leaves_and_nothing_breaks(name: str, world: MakeWorld) -> None:
    flush = {"flush": True} if name == "fedbuff" else {}  # else it is refused: its buffer never fills
    here = world(name, {**FAST.get(name, {}), **flush}, dropout_rate=0.999999)
    assert not any(here.env.senders(number) for number in (1, 2, 3))
    done = here.run()
    assert not [m for m in done.transcript.messages if m.sender != SERVER]
    assert not done.events
    start = here.protocol.init(here.env).state
    if "server/model" in start.parts and name != "layerwise-async":
        assert same({"m": start.parts["server/model"]}, {"m": done.state.parts["server/model"]})


@pytest.mark.parametrize("name", IN_STEP)
def test_partial_participation_is_seeded(name: str, world: MakeWorld) -> None:
    here = world(name, FAST.get(name), participation=0.5, rounds=4, sizes=(8, 8, 8, 8))
    done = here.run()
    for number in range(1, 5):
        senders = {client_index(m.sender) for m in done.transcript.messages if m.sender != SERVER and m.round == number}
        assert senders == set(here.env.participants(number))
        assert len(senders) == 2


@pytest.mark.parametrize("name", SENDING)
def test_batch_normalisation_survives_the_wire(name: str, world: MakeWorld) -> None:
    here = world(name, FAST.get(name), training={"model": "normed"})
    for results in scored(here.protocol.models(here.run().state, here.env), here.env).values():
        assert math.isfinite(results["loss"])


@pytest.mark.parametrize("name", NAMES)
def test_divergence_names_client_and_round(name: str, world: MakeWorld) -> None:
    here = world(name, FAST.get(name))
    here.dataset.x_train[here.env.members[1 if name != "central" else 0][0][3]] = np.nan
    with (
        pytest.raises(Diverged, match=r"client-\d, round 1, (private|central|student)")
        if name != "fedmd"
        else (pytest.raises(Diverged, match="client-1, round 1"))
    ):
        here.run()
