"""A peer's view of a consensus: the others' mean comes back, through every sharpening that is one-to-one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership import consensus
from fedprivacy.attacks.membership.observations import surrogate
from fedprivacy.attacks.membership.observations.surrogate import WIRE_ROUNDING, Surrogate
from fedprivacy.attacks.membership.received import aggregates, answers
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve
from fedprivacy.training import consensus as rules
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.transcript import PublicFold, Transcript

SHARPENINGS: dict[str, tuple[dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = {
    "era": ({}, lambda m: rules.entropy_reduced(m, 0.1)),
    "era, warmer": ({"temperature": 0.5}, lambda m: rules.entropy_reduced(m, 0.5)),
    "sa": ({"aggregation": "sa"}, lambda m: m),
    "enhanced": ({"aggregation": "enhanced", "sharpness": 2.0}, lambda m: rules.enhanced(m, 2.0)),
}


def softmaxes(draw: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(draw.normal(scale=2, size=shape)).softmax(-1).float()


@pytest.mark.parametrize("columns", [2, 4, 10])
@pytest.mark.parametrize("name", SHARPENINGS)
def test_the_mean_behind_a_sharpened_consensus_comes_back(name: str, columns: int, small_config: Any) -> None:
    options, sharpen = SHARPENINGS[name]
    config = small_config(protocol="ds-fl", options=options)
    mean = rules.mean(list(softmaxes(np.random.default_rng(0), 3, 50, columns)))
    undone = consensus.undone(sharpen(mean).double().numpy(), resolve(config).wire)
    assert undone is not None
    np.testing.assert_allclose(undone, mean.numpy(), atol=3e-7)


def test_one_sigmoid_column_comes_back_as_one(small_config: Any) -> None:
    config = small_config(protocol="ds-fl")
    mean = torch.tensor([[0.6], [0.02], [0.999]])
    undone = consensus.undone(rules.entropy_reduced(mean, 0.1).double().numpy(), resolve(config).wire)
    assert undone is not None
    np.testing.assert_allclose(undone, mean.numpy(), atol=1e-4)  # 1 - p is rounded where p is near 1


def test_what_is_lost_is_not_invented(small_config: Any) -> None:
    values = np.full((3, 4), 0.25)
    assert consensus.undone(values, resolve(small_config(protocol="cfd")).wire) is None
    assert consensus.undone(values, resolve(small_config(protocol="mutual")).wire) is None
    weighted = small_config(protocol="fedmd", options={"consensus_weights": "validation"})
    assert consensus.undone(values, resolve(weighted).wire) is None
    assert consensus.undone(values, resolve(small_config(protocol="fedmd", dropout_rate=0.2)).wire) is None
    noisy = {"name": "gaussian", "sigma": 1.0, "options": {"placement": "aggregator"}}
    assert consensus.undone(values, resolve(small_config(protocol="ds-fl", defense=noisy)).wire) is None
    rounded_away = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert consensus.undone(rounded_away, resolve(small_config(protocol="ds-fl")).wire) is None
    assert consensus.undone(values, resolve(small_config(protocol="fedmd")).wire) is values


def test_ones_own_part_is_taken_out() -> None:
    draw = np.random.default_rng(1)
    told = draw.normal(size=(5, 20, 3))
    np.testing.assert_allclose(consensus.others(told.mean(0), told[2], 5), told[[0, 1, 3, 4]].mean(0), atol=1e-12)
    with pytest.raises(ValueError, match="no others"):
        consensus.others(told[0], told[0], 1)


@pytest.mark.parametrize("protocol", ["fedmd", "ds-fl"])
def test_a_peer_distils_what_the_others_said(
    protocol: str, hand_made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two clients the others' mean is what the other one sent, to the wire's rounding."""
    made = hand_made(10)
    wire = resolve(RunConfig(protocol=protocol, clients=2)).wire
    told = softmaxes(made.draw, 2, len(made.public), 4)
    form = "logits" if protocol == "fedmd" else "probabilities"
    sent = told.log() if protocol == "fedmd" else told
    channel = Channel(1, made.store)
    for client in range(2):
        channel.send(client_name(client), SERVER, Predictions(sent[client], form))
    mean = rules.mean(list(sent))
    shared = mean if protocol == "fedmd" else rules.entropy_reduced(mean, 0.1)
    channel.send(SERVER, ["client-0", "client-1"], Predictions(shared, form), "consensus")
    fold = PublicFold(1, made.public, False, 0, 2)
    view = view_of([Transcript(tuple(channel.messages), (fold,), made.store)], Adversary.parse("client-0"))
    assert [a.client for a in answers(view)] == [0] and len(list(aggregates(view))) == 1
    distilled: list[Any] = []

    def spy(sets: Any, *_: Any) -> Any:
        distilled.extend(given.targets for given in sets.values())
        return {client: np.full((len(made.candidates) + len(made.auxiliary), 4), np.log(0.25)) for client in sets}

    monkeypatch.setattr(surrogate, "distilled", spy)
    knowledge = type(made.knowledge)(**{**vars(made.knowledge), "wire": wire})
    observed = Surrogate().observe(view, knowledge)
    np.testing.assert_allclose(np.exp(distilled[0]), told[1].numpy(), atol=2e-6 if protocol == "fedmd" else 1e-5)
    np.testing.assert_allclose(np.exp(distilled[1]), told[0].numpy(), atol=1e-6)
    assert observed.logp.shape[0] == 1 and observed.reference_logp is not None
    assert "recovered from the consensus" in observed.notes[0] and WIRE_ROUNDING < 1e-6
