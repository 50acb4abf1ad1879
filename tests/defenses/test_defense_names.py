"""The table of defenses: complete, buildable without torch, and strict about budgets."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fedprivacy.defenses
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DefenseConfig
from fedprivacy.defenses.names import DEFENSES, card, check, settings_of


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defense_exists_and_has_default_options(name: str) -> None:
    module, _, function = card(name).target.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    settings_of(DefenseConfig(name=name))


def test_every_file_with_a_builder_is_in_the_table() -> None:
    here = Path(fedprivacy.defenses.__file__).parent
    files = {f.stem for f in here.glob("*.py") if "\ndef build(" in f.read_text() and f.stem != "build"}
    assert files == {entry.target.partition(":")[0].rpartition(".")[2] for entry in DEFENSES.values()}


def test_the_table_imports_no_torch() -> None:
    code = "import sys, fedprivacy.defenses.names; sys.exit('torch' in sys.modules or 'dp_accounting' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "gausian", "epsilon": 1.0}, "Did you mean 'gaussian'"),
        ({"name": "gaussian"}, "needs --epsilon"),
        ({"name": "none", "epsilon": 1.0}, "adds no noise"),
        ({"name": "quantise", "epsilon": 1.0}, "proves nothing"),
        ({"name": "quantise", "options": {"bits": 3}}, "bits"),
        ({"name": "gaussian", "epsilon": 1.0, "options": {"clipp": 2.0}}, "Did you mean 'clip'"),
        ({"name": "randomized-response", "sigma": 1.0}, "no sigma"),
        ({"name": "randomized-response"}, "one of the two"),
        ({"name": "randomized-response", "epsilon": 1.0, "options": {"epsilon0": 1.0}}, "one of the two"),
        ({"name": "nfdp", "options": {"k": 3, "share": 0.5}}, "share or k"),
    ],
)
def test_mistakes_are_one_clear_line(config: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check(DefenseConfig(**config))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "none"},
        {"name": "gaussian", "epsilon": 1.0},
        {"name": "gaussian", "sigma": 0.0},
        {"name": "randomized-response", "options": {"epsilon0": 1.0}},
        {"name": "top-k", "options": {"k": 2}},
    ],
)
def test_sensible_settings_pass(config: dict[str, object]) -> None:
    check(DefenseConfig(**config))  # type: ignore[arg-type]
