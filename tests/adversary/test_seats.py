"""Who can observe what: every protocol has a default, and what cannot be is said in one line with what can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fedprivacy import catalog
from fedprivacy.adversary import observations
from fedprivacy.adversary.inversion import inversion_source
from fedprivacy.adversary.seats import default_adversaries, seat
from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Adversary
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve

SENDING = [name for name, card in CARDS.items() if not card.bound]


def observable(config: RunConfig, adversary: Adversary) -> tuple[str, ...]:
    return observations.observable(seat(adversary, resolve(config).wire))


@pytest.mark.parametrize("protocol", SENDING)
@pytest.mark.parametrize("position", ["server", "client-0", "eavesdropper"])
@pytest.mark.parametrize("power", ["", "active-"])
def test_a_position_observes_something_or_is_told_why_not(
    protocol: str, position: str, power: str, small_config: Any
) -> None:
    config = small_config(protocol=protocol, rounds=3)
    adversary = Adversary.parse(power + position)
    try:
        names = observable(config, adversary)
    except UsageError as error:
        assert "\n" not in str(error) and adversary.name in str(error) and "; use " in str(error)
        assert power or (position == "server" and not resolve(config).wire.has_server)
        return
    assert names and all(name in observations.OBSERVATIONS for name in names)
    asks, trains = ("joint-probes", "probes"), ("traps",)
    assert not power or (position == "server" and names in (asks, trains, asks + trains))
    for name in names:
        assert catalog.observation(name).name


@pytest.mark.parametrize("protocol", SENDING)
def test_the_default_set_can_observe(protocol: str, small_config: Any) -> None:
    config = small_config(protocol=protocol, rounds=3, attack={"attacks": ("membership",)})
    assert len(default_adversaries(resolve(config).wire)) == 2
    assert len(resolve(config).seats.observations) >= 2


def test_whole_models_are_read_where_they_travel_beside_predictions(small_config: Any) -> None:
    server = Adversary("server")
    assert observable(small_config(protocol="mutual"), server) == ("joint-predictions", "surrogate")
    both = small_config(protocol="mutual", options={"average_weights": True})
    assert observable(both, server) == ("joint-updates", "joint-predictions", "surrogate", "uploaded-weights")
    hybrid = small_config(protocol="fedkd-hybrid")
    assert observable(hybrid, Adversary("client-1")) == ("joint-updates", "surrogate", "global-model")
    mixed = small_config(protocol="fedkd-hybrid", training={"client_models": ("mlp", "cnn")})
    assert observable(mixed, server) == ("joint-predictions", "surrogate")


def test_a_client_that_is_not_there(small_config: Any) -> None:
    with pytest.raises(UsageError, match="there are 3 clients, 0 to 2"):
        observable(small_config(), Adversary("client-3"))


def test_a_run_that_ends_before_the_deep_layers_travel(small_config: Any) -> None:
    """Changes of the layers that were sent can be read; a whole model cannot."""
    server, options = Adversary.parse("server"), {"deep_every": 4}
    early = observable(small_config(protocol="layerwise-async", rounds=3, options=options), server)
    late = observable(small_config(protocol="layerwise-async", rounds=4, options=options), server)
    assert early == ("joint-updates",) and late == ("joint-updates", "uploaded-weights")
    never = small_config(protocol="layerwise-async", rounds=4, options={"deep_every": 1})
    assert observable(never, server) == ("joint-updates",)


def test_a_sum_under_masks_hides_single_clients(small_config: Any) -> None:
    defense = {"name": "secure-aggregation"}
    sums = small_config(protocol="fedavg", options={"weighting": "uniform"}, defense=defense)
    assert observable(sums, Adversary("server")) == ("joint-updates", "global-model")
    shared = small_config(protocol="ds-fl", defense=defense)
    assert default_adversaries(resolve(shared).wire) == ("server", "client-0")
    with pytest.raises(UsageError, match="sums alone"):
        observable(shared, Adversary("server", "active"))


def test_answers_of_privately_trained_models_are_decoded_jointly_too(small_config: Any) -> None:
    private = small_config(protocol="mutual", defense={"name": "dp-sgd", "epsilon": 4.0})
    assert observable(private, Adversary("server")) == ("joint-predictions", "surrogate")
    assert observable(private, Adversary("server", "active")) == ("joint-probes", "probes")


def test_what_nobody_can_play_of_private_training_is_not_declared(small_config: Any) -> None:
    head = small_config(protocol="mutual", defense={"name": "dp-sgd", "epsilon": 4.0, "options": {"layers": "head"}})
    assert observable(head, Adversary("server")) == ("surrogate",)
    assert observable(head, Adversary("server", "active")) == ("probes",)
    assert "last layer" in observations.no_room(seat(Adversary("server"), resolve(head).wire))
    moved = small_config(
        protocol="fedavg",
        options={"weighting": "uniform"},
        training={"augmentation": ("shift",)},
        defense={"name": "dp-sgd", "epsilon": 4.0},
    )
    assert observable(moved, Adversary("server")) == ("joint-updates", "uploaded-weights")


def test_what_is_declared_alone_decides() -> None:
    """The same releases under a name that nobody knows allow the same."""
    known = resolve(RunConfig(protocol="fedavg")).wire
    stranger = Wire("somebody's", known.federation, known.releases)
    for position in ("server", "client-1", "eavesdropper"):
        own, other = (seat(Adversary.parse(position), wire) for wire in (known, stranger))
        assert observations.observable(own) == observations.observable(other)
        assert inversion_source(own) == inversion_source(other)
    silent = Wire("nobody's", known.federation, ())
    assert default_adversaries(silent) == ()
    relayed = tuple(replace(r, of="relay") for r in known.releases if r.sender == "server")
    assert observations.observable(seat(Adversary("client-0"), Wire("relay", known.federation, relayed)))
