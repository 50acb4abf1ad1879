"""Settings of a protocol as typed on the command line take the type that the protocol gives them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from fedprivacy import catalog
from fedprivacy.cli.flags import configured
from fedprivacy.cli.settings import allowed, configuration, in_flags
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.study.resolve import resolve


@pytest.mark.parametrize(
    ("protocol", "text", "value"),
    [
        ("cfd", "delta=on", "on"),
        ("cfd", "bits-up=32", 32),
        ("fedkd-hybrid", "shared_layers=hidden", ("hidden",)),
        ("fedkd-hybrid", "shared_layers=hidden,head", ("hidden", "head")),
        ("fml", "meme=none", None),
        ("fml", "meme=mlp-small", "mlp-small"),
        ("fml", "alpha=1", 1),
        ("fedasync", "max_staleness=4", 4),
        ("mutual", "public_labels=off", False),
        ("mutual", "kl=literal", "literal"),
    ],
)
def test_a_setting_is_read_as_its_field(protocol: str, text: str, value: Any) -> None:
    config = configuration({"protocol": protocol, "protocol_set": (text,)})
    name = text.partition("=")[0].replace("-", "_")
    assert getattr(catalog.options(config.protocol, config.options), name) == value


def test_a_flag_for_several_names_may_be_repeated() -> None:
    """The last of two used to win, and the other attack was left out in silence."""
    read: list[dict[str, Any]] = []

    @click.command()
    @configured()
    def command(**given: Any) -> None:
        read.append(given)

    for words in ("--attack membership --attack labels,inversion", "--attack membership,labels,inversion", ""):
        command.main(words.split(), standalone_mode=False)
    attacks = [configuration(given).attack.attacks for given in read]
    assert attacks == [("membership", "labels", "inversion")] * 2 + [configuration({}).attack.attacks]


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("use training.model = 'mlp'.", "use --model mlp."),
        ("or a larger data.image_size; use mlp", "or a larger --image-size; use mlp"),
        ("data.schedule = 'fresh' and training.client_models", "--private-schedule fresh and --client-models"),
        ("use options.weighting = 'uniform'", "use --set weighting=uniform"),
        ("defense dp-sgd: use options.weighting = 'uniform'", "defense dp-sgd: use --set weighting=uniform"),
        ("defense clip: set defense.options.clip", "defense clip: set --defense-set clip"),
        ("run.toml: data.alpha: Input should be a number", "run.toml: data.alpha: Input should be a number"),
        ("nothing is at metadata.limit.npz or options", "nothing is at metadata.limit.npz or options"),
    ],
)
def test_a_complaint_names_settings_as_they_are_typed(message: str, typed: str) -> None:
    assert in_flags(message) == typed


@pytest.mark.parametrize("name", CARDS)
def test_every_default_and_choice_can_be_typed(name: str) -> None:
    """What `list protocols NAME` shows is what --set takes."""
    for option, field in CARDS[name].options.model_fields.items():
        texts = [str(field.get_default()).lower()] if field.get_default() != () else []
        if allowed(field).startswith("one of "):
            texts += allowed(field).removeprefix("one of ").split(", ")
        for text in texts:
            config = configuration({"protocol": name, "protocol_set": (f"{option}={text}",)})
            assert str(config.options[option]).lower() == text


def test_all_stands_for_every_attack_that_the_protocol_allows() -> None:
    def attacks(protocol: str, **more: str) -> tuple[str, ...]:
        return configuration({"protocol": protocol, "attack__attacks": "all", **more}).attack.attacks

    assert attacks("mutual") == ("membership", "labels", "theft", "inversion")
    assert attacks("fedproto") == ("membership", "labels")
    assert attacks("mutual", data__inclusion="1") == ("labels", "theft", "inversion")
    with pytest.raises(UsageError, match="local sends nothing"):
        attacks("local")
    with pytest.raises(UsageError, match="Did you mean 'mlp'"):
        attacks("mutual", training__model="mlpp")


def test_a_wrong_setting_is_not_taken_for_an_attack_that_is_not_allowed() -> None:
    config = configuration({"attack__attacks": "all", "attack__statistics": "lirra"})
    assert "membership" in config.attack.attacks
    with pytest.raises(UsageError, match="lirra"):
        resolve(config)
