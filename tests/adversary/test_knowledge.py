"""What an adversary is said to know is what it was given: of an inferred wire no more than somebody told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.sight import Wire
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.inferred import Told, releases_in
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import MemoryStore, Message, Transcript


def words(told: Told, payloads: Sequence[Weights | Predictions]) -> str:
    """What is said of a wire on which a client sent these, one a round."""
    store = MemoryStore()
    sent: list[Message] = []
    for number, payload in enumerate(payloads, start=1):
        channel = Channel(number, store)
        channel.send("client-0", ["server"], payload)
        sent += channel.messages
    settings = RunConfig(rounds=len(payloads))
    wire = Wire("own", FederationSettings.of(settings), releases_in(Transcript(tuple(sent), (), store), told))
    return granted(settings.attack, wire)


WEIGHTS = [Weights({"w": torch.zeros(3)})] * 2
ANSWERS = [Predictions(torch.full((4, 2), 0.5), "probabilities")] * 2


@pytest.mark.parametrize("payloads", [WEIGHTS, ANSWERS])
def test_of_an_inferred_wire_nothing_is_known_that_nobody_told(payloads: list[Weights | Predictions]) -> None:
    assert words(Told(), payloads).startswith("no client's start, no hyper-parameters")
    assert words(Told(start=True), payloads).startswith("the start, no hyper-parameters")
    assert words(Told(steps_known=True), payloads).startswith("no client's start, the hyper-parameters")


@pytest.mark.parametrize("protocol", CARDS)
def test_of_a_declared_protocol_both_are(protocol: str) -> None:
    study = resolve(RunConfig(protocol=protocol))
    assert granted(study.attack, study.wire).startswith("the start, the hyper-parameters")


DRAWN = ("mutual", "dfedavg", "gossip-mutual", "fedkd-hybrid", "layerwise-async")
SENT = ("fedavg", "fml", "profe")


@pytest.mark.parametrize(("protocol", "known"), [(p, False) for p in DRAWN] + [(p, True) for p in SENT])
def test_of_starts_that_clients_draw_for_themselves_nobody_is_told(protocol: str, known: bool) -> None:
    """The global model is sent, and a model that travels in the place of their own is common; others are not."""
    base = RunConfig(protocol=protocol)
    alone = base.model_copy(update={"training": base.training.model_copy(update={"init": "independent"})})
    study = resolve(alone)
    assert granted(study.attack, study.wire).startswith("the start" if known else "no client's start")


@pytest.mark.parametrize(
    ("budget", "said"), [(None, ""), ("4 rounds", " within 4 rounds"), (60.0, " within 60 seconds")]
)
def test_what_an_attack_may_spend_is_part_of_it(budget: str | float | None, said: str) -> None:
    study = resolve(RunConfig())
    attack = study.attack.model_copy(update={"budget": budget})
    assert granted(attack, study.wire).endswith(f"effort default{said}")
