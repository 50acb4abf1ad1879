"""A shell completes what the catalog knows, and starts no torch for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from fedprivacy import catalog
from fedprivacy.cli.main import cli
from fedprivacy.config.protocol_cards import CARDS

VARIABLE = "_FEDPRIVACY_COMPLETE"


def offered(line: str) -> list[str]:
    """What is offered for the last word of ``line``."""
    *words, last = line.split(" ")
    found = ShellComplete(cli, {}, "fedprivacy", VARIABLE).get_completions(words, last)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("run --protocol ", list(CARDS)),
        ("compare fedavg ", list(CARDS)),
        ("list protocols ", list(CARDS)),
        ("list recipes ", [*catalog.RECIPES, *catalog.PAGES, *catalog.TABLES]),
        ("list models ", []),
        ("run --attack ", [*catalog.ATTACKS, catalog.EVERY]),
        ("run --statistic ", list(catalog.STATISTICS)),
        ("attack RUN --headline ", list(catalog.STATISTICS)),
        ("run --dataset ", list(catalog.described("datasets"))),
        ("check x:y --dataset ", list(catalog.described("datasets"))),
        ("run --model ", list(catalog.described("models"))),
        ("audit --defense ", list(catalog.described("defenses"))),
        ("reproduce ", [*catalog.RECIPES, *catalog.PAGES, *catalog.TABLES]),
        ("run --knowledge ", ["strong", "fair", "blind"]),
        ("run --scaling pu", ["public"]),
    ],
)
def test_values_complete(line: str, names: list[str]) -> None:
    assert offered(line) == names


def test_the_last_of_several_completes_and_none_comes_twice() -> None:
    assert offered("run --statistic loss,ra") == ["loss,ratio"]
    assert "loss,loss" not in offered("run --statistic loss,l")
    assert offered("run --statistic lo") == ["loss"]


def test_every_verb_and_flag_completes() -> None:
    assert {"run", "compare", "audit"} <= set(offered(""))
    assert "--known-share" in offered("run --known")


def test_bash_is_answered_without_torch() -> None:
    script = "import sys; from fedprivacy.cli.main import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    words = {VARIABLE: "bash_complete", "COMP_WORDS": "fedprivacy run --protocol mut", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,mutual"] and not done.stderr
