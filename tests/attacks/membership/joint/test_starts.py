"""Every change starts from the model that its clients really started from, or says that it took several rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.changes import changes
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore, Transcript

MASKS = {"name": "secure-aggregation", "options": {"range": 8.0}}
UNIFORM = {"weighting": "uniform"}


@pytest.mark.parametrize("missing", [{"participation": 0.5}, {"dropout_rate": 0.3}], ids=str)
@pytest.mark.parametrize(
    ("position", "more"),
    [
        ("server", {"protocol": "fedavg"}),
        ("server", {"protocol": "fedavg", "options": UNIFORM, "defense": MASKS}),
        ("client-0", {"protocol": "fedavg"}),
        ("client-2", {"protocol": "fedavg"}),
        ("eavesdropper", {"protocol": "dfedavg"}),
        ("client-0", {"protocol": "dfedavg", "topology": "full"}),
        ("client-0", {"protocol": "dfedavg", "topology": "ring"}),
        ("client-1", {"protocol": "dfedavg", "topology": "star"}),
    ],
    ids=str,
)
def test_those_who_were_missing_start_from_what_they_have(
    position: str, more: dict[str, Any], missing: dict[str, float], small_config: Callable[..., Any]
) -> None:
    study = resolve(small_config(clients=4, rounds=6, **more, **missing))
    env, _ = study.environment(5)
    protocol, defense, store = study.protocol, study.defense(env), MemoryStore()
    assert isinstance(protocol, TrainsLocally)
    held, state = protocol.held, protocol.init(env).state
    begun = [{client: state.parts[held(client)] for client in range(4)}]
    messages = []
    for number in range(1, 7):
        parts = dict(begun[-1])
        channel = Channel(number, store, defense, lambda name, parts=parts: parts[int(name.split("-")[1])])
        state = protocol.round(state, number, env, channel).state
        messages += channel.messages
        begun.append({client: state.parts[held(client)] for client in range(4)})
    view = view_of([Transcript(tuple(messages), (), store)], Adversary.parse(position))
    mixing = protocol if isinstance(protocol, MixesModels) else None
    found = list(changes(view, begun[0], env.settings, mixing))
    assert found
    for change in found:
        if change.sure.rounds > 1:
            assert position != "server"
            continue
        for client in change.clients:
            if client in env.senders(change.round):
                for name, tensor in change.start.items():
                    torch.testing.assert_close(tensor, begun[change.round - 1][client][name], rtol=1e-3, atol=2e-4)
    whole = position == "server" or (position == "eavesdropper" and "participation" in missing)
    assert {change.round for change in found} == set(range(1, 7)) or not whole
