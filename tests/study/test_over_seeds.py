"""What one result says of several seeds: never what the first of them alone would say."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.privacy import Gaussian, NoNoise, PrivacyEvent
from fedprivacy.privacy.events import event_to_json
from fedprivacy.study.assembled import _claim
from fedprivacy.study.run import Plan, execute
from fedprivacy.study.seed_notes import of_seeds

SAME, FIRST, SECOND = "default grade", "carried by round 1 (60%)", "carried by round 3 (50%)"


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ([], ()),
        ([(), ()], ()),
        ([(SAME, FIRST)], (SAME, FIRST)),
        ([(SAME, FIRST), (SAME, FIRST)], (SAME, FIRST)),
        ([(SAME, FIRST), (SECOND, SAME)], (SAME, "in seeds 1 and 2 of 2: carried by round 1 / 3 (60% / 50%)")),
        ([(SAME,), (SAME, SECOND)], (SAME, f"in seed 2 of 2: {SECOND}")),
        ([("one",), ("two",), ("one",)], ("in seeds 1 and 3 of 3: one", "in seed 2 of 3: two")),
        ([(FIRST,), (SECOND,), (FIRST,)], ("in seeds 1 to 3 of 3: carried by round 1 / 3 / 1 (60% / 50% / 60%)",)),
        ([("1 left", "2 left"), ("2 left", "3 left")], ("2 left", "in seeds 1 and 2 of 2: 1 / 3 left")),
        ([("1 left", "2 left"), ()], ("in seed 1 of 2: 1 left", "in seed 1 of 2: 2 left")),
    ],
)
def test_notes_of_all_seeds_are_told_and_what_they_share_once(notes: list[tuple[str, ...]], told: tuple[str, ...]):
    assert of_seeds(notes) == told


WORDS = st.sampled_from(["round {} left out", "carried by round {} ({}%)", "default grade", "{} of {} candidates"])
NUMBERS = st.sampled_from(["1", "2", "0.5", "12"])
NOTE = st.builds(lambda words, a, b: words.format(a, b), WORDS, NUMBERS, NUMBERS)


@given(st.lists(st.lists(NOTE, max_size=4, unique=True), min_size=1, max_size=4))
def test_every_note_of_every_seed_can_be_read_back(notes: list[list[str]]) -> None:
    found: list[set[str]] = [set() for _ in notes]
    for line in of_seeds(notes):
        marked = re.match(r"in seeds? (.*?) of \d+: (.*)", line)
        named = [] if marked is None else list(map(int, re.findall(r"\d+", marked[1])))
        seeds = range(1, len(notes) + 1) if marked is None else named
        if marked is not None and " to " in marked[1]:
            seeds = range(named[0], named[1] + 1)
        words = re.split(r"([\d.]+%?(?: / [\d.]+%?)+)", line if marked is None else marked[2])
        for place, seed in enumerate(seeds):
            own = [part.split(" / ")[place] if number % 2 else part for number, part in enumerate(words)]
            found[seed - 1].add("".join(own))
    assert found == [set(own) for own in notes]


LOADED = pytest.mark.parametrize(
    ("attack", "module", "loader"),
    [
        ("membership", "membership.findings", "load_observed"),
        ("labels", "label_inference", "load_label_shares"),
        ("inversion", "inversion.findings", "load"),
        ("theft", "stolen", "load_stolen"),
    ],
)
"""Each attack, with what reads back what it left on disk."""


@LOADED
def test_findings_carry_the_notes_of_every_seed(
    attack: str, module: str, loader: str, small_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was observed says in seed 1 that it is the first that was read, in seed 2 that it is the second."""
    where = importlib.import_module(f"fedprivacy.study.{module}")
    load, places = getattr(where, loader), list[Path]()

    def numbered(path: Path) -> Any:
        if path not in places:
            places.append(path)
        found = load(path)
        return replace(found, notes=(*found.notes, f"read as number {places.index(path) + 1}"))

    monkeypatch.setattr(where, loader, numbered)
    settings = {"attacks": (attack,), "surrogate_epochs": 1, "inversion": {"iterations": 2, "messages": 1}}
    config = small_config(protocol="mutual" if attack == "theft" else "fedavg", rounds=1, seeds=2, attack=settings)
    found = execute(config, Plan(tmp_path, baselines=False)).findings
    assert any("in seeds 1 and 2 of 2: read as number 1 / 2" in one.note for one in found if one.headline)


@LOADED
def test_a_failed_attack_tells_the_cause_of_every_seed(
    attack: str, module: str, loader: str, small_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds 2 and 3 of three gave nothing, each for a reason of its own."""
    where = importlib.import_module(f"fedprivacy.study.{module}")
    load, causes = getattr(where, loader), {"1": "nothing was heard", "2": "no records of its own"}

    def broken(path: Path) -> Any:
        return next((causes[part] for part in path.parts if part in causes), None) or load(path)

    monkeypatch.setattr(where, loader, broken)
    settings = {"attacks": (attack,), "surrogate_epochs": 1, "inversion": {"iterations": 2, "messages": 1}}
    config = small_config(protocol="mutual" if attack == "theft" else "fedavg", rounds=1, seeds=3, attack=settings)
    found = execute(config, Plan(tmp_path, baselines=False)).findings
    failed = [one for one in found if one.headline and one.flag == "error"]
    assert failed and {one.note for one in failed} == {
        "in seed 2 of 3: nothing was heard; in seed 3 of 3: no records of its own"
    }


def summary(sends: int, multiplier: float = 2.0) -> dict[str, Any]:
    """A run in which one client sent so many noised messages, and one of them without noise at 0."""
    noise = Gaussian(multiplier) if multiplier else NoNoise()
    events = [PrivacyEvent(0, round, "predictions", noise) for round in range(1, sends + 1)]
    return {"events": [event_to_json(event) for event in events], "records": 100}


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_claim_over_seeds_is_that_of_the_seed_which_costs_most(places: tuple[int, ...]) -> None:
    """Where seeds draw who takes part, one client may send more often in one of them."""
    made = [summary(2), summary(5), summary(3)]
    worst = _claim(1e-5, [made[1]])
    assert worst.releases == 5 and _claim(1e-5, [made[place] for place in places]) == worst
    assert (worst.epsilon or 0.0) > (_claim(1e-5, [made[0]]).epsilon or 0.0)
    assert _claim(1e-5, [*made, summary(1, multiplier=0.0)]).epsilon is None
