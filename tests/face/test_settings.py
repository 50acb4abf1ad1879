"""Keywords of Python are the flags of the command line: the same texts, the same settings."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedprivacy
from fedprivacy.cli.settings import configuration, fields_of, flag_of, kinds_of, paths
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import RunConfig
from fedprivacy.config.toml import read_toml
from fedprivacy.face.settings import configured, keywords

BUDGETS = [("60steps", "60 steps"), ("400 steps", "400 steps"), ("60s", 60.0), ("2m", 120.0), ("4rounds", "4 rounds")]


def texts() -> list[tuple[str, str]]:
    """(setting, a text of it) for every setting that has a text: each of its choices, a number, names, none."""
    found = [("attack.budget", text) for text, _ in BUDGETS]
    for path, field in fields_of().items():
        for kind in kinds_of(field.annotation):
            if kind is type(None):
                found.append((path, "none"))
            elif typing.get_origin(kind) is typing.Literal:
                found += [(path, str(choice)) for choice in typing.get_args(kind)]
            elif kind is not bool:
                found.append((path, {int: "7", float: "0.75"}.get(kind, "one,two")))
    return found


def read(call: Any) -> Any:
    """The settings, or what is said instead."""
    try:
        return call().model_dump()
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize(("path", "text"), texts())
def test_every_text_means_what_it_means_as_a_flag(path: str, text: str, tmp_path: Path) -> None:
    keyword = {path: name for name, path in keywords().items()}[path]
    assert keywords()[flag_of(path)[2:].replace("-", "_")] == path
    typed = read(lambda: configuration({path.replace(".", "__"): text}))
    assert read(lambda: configured({keyword: text}, tmp_path)) == typed
    if text == "none" and path != "data.scaling":
        assert read(lambda: configured({keyword: None}, tmp_path)) == typed
    if isinstance(typed, dict):
        assert build(RunConfig, paths((f"{path}={text}",), "--set"), "--set").model_dump() == typed


def test_the_candidates_of_all_that_there_is() -> None:
    """None is no default here."""
    assert fedprivacy.Study.of("fedavg", candidates=None).config.data.candidates is None
    assert fedprivacy.Study.of("fedavg", candidates="none").config.data.candidates is None
    assert fedprivacy.Study.of("fedavg", clients=None).config.clients == 5


@pytest.mark.parametrize(("text", "means"), BUDGETS)
def test_a_budget_is_read_alike_everywhere(text: str, means: float | str, tmp_path: Path) -> None:
    attack = "membership" if "round" in text else "inversion"
    assert fedprivacy.Study.of("fedavg", attack=attack, budget=text).config.attack.budget == means
    (tmp_path / "run.toml").write_text(f'[attack]\nattacks = ["{attack}"]\nbudget = "{text}"\n')
    assert build(RunConfig, read_toml(tmp_path / "run.toml"), "run.toml").attack.budget == means


def test_objects_that_stand_for_a_text_or_a_number(tmp_path: Path) -> None:
    """A path, a number of numpy and an adversary are written down as what they stand for."""
    objects = {"data_dir": tmp_path, "clients": np.int64(3), "lr": np.float64(0.5)}
    plain = {"data_dir": str(tmp_path), "clients": 3, "lr": 0.5}
    assert configured(objects, tmp_path) == configured(plain, tmp_path)
    for given in (fedprivacy.Adversary.parse("active-client-2"), [fedprivacy.Adversary.parse("active-client-2")]):
        found = configured({"attack": "membership", "adversary": given}, tmp_path)
        assert found.attack.adversaries == ("active-client-2",)
