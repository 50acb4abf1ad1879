"""Who can observe what: every protocol has a default, and what cannot be is said in one line with what can."""

from __future__ import annotations

from typing import Any

import pytest

from fedprivacy import catalog
from fedprivacy.adversary.threat import Adversary
from fedprivacy.attacks.membership.positions import default_adversaries, observable
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS

SENDING = [name for name, card in CARDS.items() if card.family != "none"]


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
        assert power or (protocol == "profe" and position == "server")
        return
    assert names and all(name in catalog.OBSERVATIONS for name in names)
    assert not power or (names == ("joint-probes", "probes") and position == "server")
    for name in names:
        assert catalog.observation(name).name


@pytest.mark.parametrize("protocol", SENDING)
def test_the_default_set_can_observe(protocol: str, small_config: Any) -> None:
    config = small_config(protocol=protocol, rounds=3, attack={"attacks": ("membership",)})
    assert len(default_adversaries(config)) == 2
    assert len(catalog.observations(config)) >= 2


def test_whole_models_are_read_where_they_travel_beside_predictions(small_config: Any) -> None:
    server = Adversary("server")
    assert observable(small_config(protocol="mutual"), server) == ("joint-predictions", "surrogate")
    both = small_config(protocol="mutual", options={"average_weights": True})
    assert observable(both, server) == ("joint-predictions", "surrogate", "uploaded-weights")
    assert observable(small_config(protocol="fedkd-hybrid"), Adversary("client-1")) == ("surrogate", "global-model")
    mixed = small_config(protocol="fedkd-hybrid", training={"client_models": ("mlp", "cnn")})
    assert observable(mixed, server) == ("joint-predictions", "surrogate")


def test_a_client_that_is_not_there(small_config: Any) -> None:
    with pytest.raises(UsageError, match="there are 3 clients, 0 to 2"):
        observable(small_config(), Adversary("client-3"))


def test_a_run_that_ends_before_the_deep_layers_travel(small_config: Any) -> None:
    server = Adversary.parse("server")
    with pytest.raises(UsageError, match="--rounds 4 or more"):
        observable(small_config(protocol="layerwise-async", rounds=3, options={"deep_every": 4}), server)
    assert observable(small_config(protocol="layerwise-async", rounds=4, options={"deep_every": 4}), server)
