"""Class prototypes: a mean that a record pulled is nearer to it, and a class that was not sent has no record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.observations.prototypes import Prototypes, received_prototypes
from fedprivacy.metrics.roc import auc
from fedprivacy.training.features import features_of
from fedprivacy.training.prototypes import of_classes
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payloads import Prototypes as Payload
from fedprivacy.wire.transcript import Transcript

Made = Any


def told(made: Made, weights: Any, counts: bool = False, members: bool = True) -> Transcript:
    """Each client sends the class means of its members' features (of all candidates, where nothing may leak)."""
    data = made.knowledge.dataset
    module = made.bench.module("mlp")
    channel = Channel(1, made.store)
    for client in range(2):
        mine = made.candidates[(made.owner == client) & (made.coins if members else True)]
        module.load_state_dict(weights)
        features = features_of(module, data.x_train[mine], torch.device("cpu"))
        channel.send(client_name(client), SERVER, of_classes(features, torch.from_numpy(data.y_train[mine]), 4, counts))
    first = channel.messages[0]
    mean = Transcript((first,), (), made.store).payload(first)
    assert isinstance(mean, Payload)
    channel.send(SERVER, ["client-0", "client-1"], mean, "global")
    return Transcript(tuple(channel.messages), (), made.store)


def knowing(made: Made, weights: Any) -> Any:
    """An adversary that knows the common start and hardly trains its extractor: the features are the senders'."""
    training = made.knowledge.settings.training.model_copy(update={"lr": 1e-9, "local_epochs": 1})
    settings = replace(made.knowledge.settings, rounds=1, training=training)
    wire = replace(made.knowledge.wire, federation=settings)
    bench = made.bench.with_training(training)
    return replace(made.knowledge, start=weights, wire=wire, workbench=bench)


def test_members_pull_their_class_mean_towards_themselves(hand_made: Callable[..., Made]) -> None:
    made = hand_made(40)
    weights = made.bench.initial("mlp", (0, ("test",)))
    view = view_of([told(made, weights)], Adversary("server"))
    observed = Prototypes().observe(view, knowing(made, weights))
    labels = made.knowledge.dataset.y_train[made.candidates]
    for client in range(2):
        mine = made.owner == client
        own = observed.logp[client, 0][mine, labels[mine]]
        assert auc(own[made.coins[mine]], own[~made.coins[mine]]) > 0.65
    np.testing.assert_allclose(np.exp(observed.logp).sum(-1), 1.0)
    assert observed.seen.all() and observed.population_logp is not None


def test_means_over_everybody_say_nothing_of_the_coins(hand_made: Callable[..., Made]) -> None:
    made = hand_made(400)
    weights = made.bench.initial("mlp", (0, ("test",)))
    view = view_of([told(made, weights, members=False)], Adversary("server"))
    observed = Prototypes().observe(view, knowing(made, weights))
    labels = made.knowledge.dataset.y_train[made.candidates]
    own = observed.logp[made.owner, 0, np.arange(len(labels)), labels]
    assert abs(auc(own[made.coins], own[~made.coins]) - 0.5) < 0.09


def test_a_class_that_was_not_sent_has_no_record_behind_it(hand_made: Callable[..., Made]) -> None:
    made = hand_made(40)
    made.coins[(made.owner == 0) & (made.knowledge.dataset.y_train[made.candidates] == 2)] = False
    weights = made.bench.initial("mlp", (0, ("test",)))
    view = view_of([told(made, weights)], Adversary("server"))
    observed = Prototypes().observe(view, knowing(made, weights))
    of_two = made.knowledge.dataset.y_train[made.candidates] == 2
    assert (observed.logp[0, 0][of_two, 2] < -50).all() and (observed.logp[1, 0][of_two, 2] > -50).all()
    assert observed.floor["zero"] > 0


def test_a_peer_sees_the_mean_and_single_records_are_reported(hand_made: Callable[..., Made]) -> None:
    made = hand_made(3)
    made.coins[:] = True
    weights = made.bench.initial("mlp", (0, ("test",)))
    transcript = told(made, weights, counts=True)
    peer = Prototypes().observe(view_of([transcript], Adversary("client-1")), knowing(made, weights))
    assert peer.logp.shape[0] == 1
    server = Prototypes().observe(view_of([transcript], Adversary("server")), knowing(made, weights))
    single = sum(int((p.counts == 1).sum()) for _, client, p in received_prototypes(transcript) if client >= 0)
    assert single > 0 and server.notes[0].startswith(f"{single} prototypes are the features of a single record")


def test_without_an_extractor_there_is_no_signal(hand_made: Callable[..., Made]) -> None:
    made = hand_made(10)
    weights = made.bench.initial("mlp", (0, ("test",)))
    observed = Prototypes().observe(view_of([told(made, weights)], Adversary("server")), made.knowledge)
    assert not observed.seen.any() and "needs auxiliary records" in observed.notes[0]
