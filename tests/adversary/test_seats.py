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
from fedprivacy.attacks.membership.headline import ORDER, declared
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
    if power:
        asks, trains, passive = ("joint-probes", "probes"), ("traps",), observable(config, Adversary(position))
        assert position == "server"
        assert names in (asks + passive, trains + passive, asks + trains + passive)
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


def made_by(config: RunConfig, *adversaries: str, asked: tuple[str, ...] = (), **more: Any) -> dict[str, list[str]]:
    attack = config.attack.model_copy(
        update={"attacks": ("membership",), "adversaries": adversaries, "observations": asked, **more}
    )
    found: dict[str, list[str]] = {}
    for adversary, name in resolve(config.model_copy(update={"attack": attack})).seats.observations:
        found.setdefault(adversary.name, []).append(name)
    return found


@pytest.mark.parametrize("protocol", SENDING)
def test_an_active_server_has_no_weaker_headline_than_a_passive_one(protocol: str, small_config: Any) -> None:
    """It is told as much, so its headline stands no later in the order of strength."""
    config = small_config(protocol=protocol, rounds=3)
    try:
        made = made_by(config, "server", "active-server")
    except UsageError:
        return
    places = [ORDER.index(declared(made[name]) or "") for name in ("active-server", "server")]
    assert places[0] <= places[1]


def test_an_active_server_looks_passively_where_that_is_its_headline_or_asked_for(small_config: Any) -> None:
    hybrid, averaging = small_config(protocol="fedkd-hybrid"), small_config(protocol="fedavg", rounds=3)
    (hybrid_makes,) = made_by(hybrid, "active-server").values()
    assert hybrid_makes == ["joint-probes", "probes", "joint-updates"] and declared(hybrid_makes) == "joint-updates"
    assert made_by(averaging, "active-server") == {"active-server": ["traps"]}
    asked = ("traps", "joint-updates")
    assert made_by(averaging, "active-server", asked=asked) == {"active-server": list(asked)}
    assert made_by(averaging, "active-server", asked=asked[1:]) == {"active-server": ["joint-updates"]}
    # Where a passive server of the run makes it, it stands there.
    both = made_by(averaging, "active-server", "server", asked=asked)
    assert both == {"active-server": ["traps"], "server": ["joint-updates"]}
    # A statistic that reads predictions cannot read traps, and a stack is of all that there is.
    assert "uploaded-weights" in made_by(averaging, "active-server", headline="loss")["active-server"]
    whole = made_by(averaging, "active-server", headline="stack", shadows=2)["active-server"]
    assert whole == ["traps", "joint-updates", "uploaded-weights"]


@pytest.mark.parametrize(
    ("protocol", "options", "names", "word"),
    [
        ("fedkd-hybrid", {}, ["joint-updates"], "weights"),
        ("fedkd-hybrid", {}, ["joint-probes"], "predictions"),
        ("fedkd-hybrid", {}, ["joint-updates", "surrogate", "global-model"], "weights and predictions"),
        ("mutual", {"average_weights": True}, ["joint-updates"], "weights"),
        ("mutual", {}, ["joint-predictions"], "predictions"),
        ("fedavg", {}, ["traps"], "weights"),
        ("fedkd", {}, ["joint-updates"], "updates"),
        ("fedproto", {}, ["prototypes"], "prototypes"),
        ("fedkd-hybrid", {}, ["mine.py:Own"], None),
    ],
)
def test_a_claim_names_what_the_headline_was_read_from(
    protocol: str, options: dict[str, Any], names: list[str], word: str | None, small_config: Any
) -> None:
    wire = resolve(small_config(protocol=protocol, options=options)).wire
    assert observations.what_is_read(wire, names) == (word or wire.what_is_sent)


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
    active = ("joint-probes", "probes", "joint-predictions", "surrogate")
    assert observable(private, Adversary("server", "active")) == active


def test_what_nobody_can_play_of_private_training_is_not_declared(small_config: Any) -> None:
    head = small_config(protocol="mutual", defense={"name": "dp-sgd", "epsilon": 4.0, "options": {"layers": "head"}})
    assert observable(head, Adversary("server")) == ("surrogate",)
    assert observable(head, Adversary("server", "active")) == ("probes", "surrogate")
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
