"""The table of protocols: complete, true to the implementations, and free of torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import fedprivacy.protocols
from fedprivacy.config import protocols as options
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve


def test_every_protocol_has_a_card_and_every_card_a_protocol() -> None:
    folder = Path(fedprivacy.protocols.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "outside"}
    assert {card.target.split(":")[0].removeprefix("fedprivacy.protocols.") for card in CARDS.values()} == files
    assert {name.replace("-", "_") for name in CARDS} == files


@pytest.mark.parametrize("name", CARDS)
def test_a_card_leads_to_its_class_and_settings(name: str) -> None:
    made = resolve(RunConfig(protocol=name)).protocol
    assert [field.name for field in fields(made)] == ["options"]  # type: ignore[arg-type]
    assert type(made.options) is CARDS[name].options  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CARDS)
def test_every_setting_is_explained(name: str) -> None:
    card = CARDS[name]
    assert card.options.__doc__
    for field, info in card.options.model_fields.items():
        assert info.description, f"{name}: {field}"
    for text in (card.title, card.crosses_the_wire, card.weighting, card.source):
        assert text and text == text.strip()
    assert not card.labelled or card.public_data


def test_all_settings_are_exported() -> None:
    assert {card.options.__name__ for card in CARDS.values()} | {"ClockOptions"} == set(options.__all__)
    assert options.__all__ == sorted(options.__all__)


def test_reading_the_cards_costs_no_torch() -> None:
    code = "import sys; import fedprivacy.config.protocol_cards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_whether_neighbours_send_to_each_other(name: str) -> None:
    releases = resolve(RunConfig(protocol=name)).wire.releases
    assert CARDS[name].between_neighbours == any(release.receivers == "neighbours" for release in releases)
