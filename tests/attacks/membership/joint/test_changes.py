"""Which change is whose: from what was last received to what was sent, or from one broadcast to the next."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.changes import Sure, changes, doubts
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import RunConfig
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Update, Weights
from fedprivacy.wire.transcript import MemoryStore, Transcript

SETTINGS = FederationSettings.of(RunConfig.model_validate({"protocol": "fedavg", "clients": 3}))
START = {"w": torch.zeros(2), "b": torch.zeros(1)}


def model(value: float) -> dict[str, Tensor]:
    return {"w": torch.full((2,), value), "b": torch.full((1,), value)}


def told(position: str, *rounds, masked: bool = False, settings: FederationSettings = SETTINGS):
    """Changes seen in rounds of ({client: payload}, what the server sends to all or those named)."""
    store, messages = MemoryStore(), []
    for number, (sent, back, *named) in enumerate(rounds, start=1):
        channel = Channel(number, store)
        for client, payload in sent.items():
            channel.send(client_name(client), SERVER, payload)
        listeners = named[0] if named else range(settings.clients)
        channel.send(SERVER, [client_name(client) for client in listeners], back)
        messages += [m for m in channel.messages if not masked or m.sender == SERVER]
    view = view_of([Transcript(tuple(messages), (), store)], Adversary.parse(position))
    return list(changes(view, dict.fromkeys(range(settings.clients), START), settings))


def moved(change) -> dict[str, list[float]]:
    return {name: (change.end[name] - start).tolist() for name, start in change.start.items()}


def test_a_server_sees_each_client_move_from_what_it_last_received():
    first = ({0: Weights(model(1.0)), 1: Weights(model(3.0))}, Weights(model(2.0)))
    second = ({2: Weights(model(2.5))}, Weights(model(2.5)))
    found = told("server", first, second)
    assert [change.clients for change in found] == [(0,), (1,), (2,)]
    assert [moved(change)["w"][0] for change in found] == [1.0, 3.0, 0.5]
    torch.testing.assert_close(dict(found[2].received[2]), model(2.0))


def test_an_update_starts_from_the_sum_of_those_before():
    first = ({0: Update(model(1.0))}, Update(model(0.5)))
    second = ({0: Update(model(-0.25))}, Update(model(0.0)))
    found = told("server", first, second)
    assert [moved(change)["b"] for change in found] == [[1.0], [-0.25]]
    assert found[1].start["b"].tolist() == [0.5]


def test_a_group_of_layers_moves_from_when_it_was_last_received():
    first = ({0: Weights({"w": torch.ones(2)})}, Weights({"w": torch.ones(2)}))
    second = ({0: Weights({"b": torch.ones(1)})}, Weights({"b": torch.ones(1)}))
    found = told("server", first, second)
    assert [moved(change) for change in found] == [{"w": [1.0, 1.0]}, {"b": [1.0]}]


def test_a_peer_takes_its_own_part_off_the_mean():
    """Clients at 1, 4 and 7: the mean is 4; without the 4 of client 1 the others were at (1 + 7) / 2."""
    uploads = {0: Weights(model(1.0)), 1: Weights(model(4.5)), 2: Weights(model(7.0))}
    (change,) = told("client-1", (uploads, Weights(model(12.5 / 3))))
    assert change.clients == (0, 2)
    assert moved(change)["w"] == pytest.approx([4.0, 4.0], abs=1e-5)


def test_a_mean_is_of_those_that_a_peer_heard_in_the_round():
    """Clients at 1 and 4.5 take part, client 2 does not: the relayed predictions say who, and the mean is of two."""
    store = MemoryStore()
    channel = Channel(1, store)
    for client in (0, 1):
        said = channel.send(client_name(client), SERVER, Predictions(torch.zeros(3, 2), "logits"))
        channel.send(SERVER, client_name(1 - client), said, f"of {client_name(client)}")
    for client, value in ((0, 1.0), (1, 4.5)):
        channel.send(client_name(client), SERVER, Weights(model(value)))
    channel.send(SERVER, [client_name(0), client_name(1)], Weights(model(2.75)))
    view = view_of([Transcript(tuple(channel.messages), (), store)], Adversary.parse("client-1"))
    (change,) = changes(view, dict.fromkeys(range(3), START), SETTINGS)
    assert change.clients == (0,)
    assert moved(change)["w"] == pytest.approx([1.0, 1.0], abs=1e-5)


def partly(participation: float) -> FederationSettings:
    return FederationSettings.of(
        RunConfig.model_validate({"protocol": "fedavg", "clients": 4, "participation": participation})
    )


def test_where_some_sit_out_a_peer_takes_off_what_it_was_of_those_who_took_part():
    """Two of four take part: 1 and 4 make 2.5, and the other was at 4. Then it sits a round out, and sees the next."""
    first = ({0: Weights(model(1.0)), 2: Weights(model(4.0))}, Weights(model(2.5)), (0, 1))
    second = ({0: Weights(model(3.0)), 1: Weights(model(5.0))}, Weights(model(4.0)), (1, 2))
    third = ({1: Weights(model(4.0)), 2: Weights(model(8.0))}, Weights(model(6.0)), (0, 3))
    one, other = told("client-0", first, second, third, settings=partly(0.5))
    assert (one.round, one.clients, one.sure) == (1, (1, 2, 3), Sure(1, clients=False))
    assert moved(one)["w"] == pytest.approx([4.0, 4.0], abs=1e-5)
    assert (other.round, other.clients, other.sure) == (3, (1, 2, 3), Sure(2, clients=False))
    assert other.start["b"].tolist() == [2.5] and moved(other)["b"] == [3.5]
    assert doubts([one.sure, other.sure]) == (
        "who took part in a round is not told: all other clients are played in each",
        "1 of 2 changes took rounds that were not seen: each is played as one round",
    )
    assert doubts([change.sure for change in told("client-0", first[:2], second[:2])]) == ()


def test_a_round_of_ones_own_alone_says_nothing_of_others():
    first = ({0: Weights(model(1.0))}, Weights(model(1.0)), (1,))
    second = ({1: Weights(model(5.0))}, Weights(model(5.0)), (0,))
    found = told("client-0", ({0: Weights(model(1.0))}, Weights(model(1.0)), (0,)), settings=partly(0.25))
    assert not found
    (change,) = told("client-0", first, second, settings=partly(0.25))
    assert change.round == 2 and moved(change)["w"] == [5.0, 5.0]


def test_who_hears_a_model_that_others_come_into_one_by_one_skips_what_is_its_own_alone():
    """g' = .4 g + .6 w of its own w alone, then nothing new, then another's: only that says anything of others."""
    store = MemoryStore()
    channel = Channel(1, store)
    own, other = (
        {"w": torch.tensor([1.0, 0.0]), "b": torch.zeros(1)},
        {"w": torch.tensor([0.0, 1.0]), "b": torch.ones(1)},
    )
    alone = {name: 0.6 * t for name, t in own.items()}
    both = {name: 0.7 * alone[name] + 0.3 * t for name, t in other.items()}
    for back in (alone, alone, both):
        channel.send(client_name(0), SERVER, Weights(own))
        channel.send(SERVER, client_name(0), Weights(back))
    view = view_of([Transcript(tuple(channel.messages), (), store)], Adversary.parse("client-0"))
    found = list(changes(view, dict.fromkeys(range(3), START), SETTINGS, by_job=True))
    (change,) = found
    assert change.clients == (1, 2) and change.sure == Sure(1, clients=False)
    torch.testing.assert_close(dict(change.start), alone)
    # One of three is its own: what is left over is that share less, over the two others'.
    torch.testing.assert_close(change.end["b"], (both["b"] - own["b"] / 3) * 1.5)
    assert doubts([change.sure]) == ("who took part in a round is not told: all other clients are played in each",)


def test_a_server_behind_masks_follows_the_models_of_all_rounds():
    """Each is sent to others: to follow one of them would leave rounds out."""
    rounds = [({}, Weights(model(v)), (place,)) for place, v in enumerate((1.0, 3.0, 4.0))]
    found = told("server", *rounds, masked=True)
    assert [moved(change)["w"][0] for change in found] == [1.0, 2.0, 1.0]


def test_where_no_upload_can_be_read_broadcasts_are_a_change_of_all():
    rounds = [({0: Weights(model(1.0))}, Weights(model(v))) for v in (1.0, 3.0)]
    found = told("server", *rounds, masked=True)
    assert [change.clients for change in found] == [(0, 1, 2), (0, 1, 2)]
    assert [moved(change)["w"][0] for change in found] == [1.0, 2.0]
