"""Help, lists and usage errors answer at once, without torch; benchmarks/answers.py measures the time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

SCRIPT = """
import contextlib, io, json, sys
from fedprivacy.cli.main import main
found = {}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["fedprivacy", *line.split()]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    heavy = [name for name in ("torch", "scipy", "matplotlib", "sklearn") if name in sys.modules]
    found[line] = [code, out.getvalue(), err.getvalue(), heavy]
print(json.dumps(found))
"""

HELP = ["--help", "-h", "--version"]
HELP += ["run --help-all", "attack --help-all"]
HELP += [f"{verb} --help" for verb in ("run", "compare", "sweep", "reproduce", "attack", "report", "list")]
CARD, ROWS = "list protocols cfd", "list recipes inversion"
KINDS = ["protocols", "attacks", "statistics", "datasets", "models", "defenses", "recipes"]
WRONG = [
    "reproduce inversion --rows lenett",
    "reproduce inversion --rows ,",
    "reproduce gupta2025 --data-dir . --rows optimizer",
    "list recipes inversoin",
    "rnu",
    "run --protocol mutal",
    "check nowhere:X",
    "run --attack membreship",
    "run --dataset mnist5",
    "run --model cnnn",
    "run --attack membership --statistic rmiaa",
    "run --attack membership --adversary client-9",
    "run --protocol local --attack membership",
    "run --defense gausian",
    "run --dataset folder --data-dir nowhere",
    "run --protocol fedavg --defense dp-sgd --epsilon 1",
    "run --protocol fml --defense dp-sgd --epsilon 1",
    "run --protocol central --defense dp-sgd --epsilon 1",
    "run --protocol fedavg --defense gaussian --epsilon 1",
    "run --candidates 4000 --clients 20",
    "run --dataset digits --candidates 1400 --private-schedule fresh",
    "audit --protocol mutual --defense gaussian --epsilon 1 --guesses 9000",
    "run --protocol layerwise-async --rounds 2 --attack labels",
    "run --alpha 0",
    "run --rounds 0",
    "run --set klx=1",
    "run --fail-above auc",
    "run --config nowhere.toml",
    "run --out /dev/null",
    "run --workers 0",
    "compare mutual fedavgg",
    "reproduce gupta2026",
    "report nowhere",
    "attack nowhere",
    "list protocol",
    "list protocols cdf",
    "list models mlp",
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str, list[str]]]:
    """What one process answered, line by line."""
    lines = [*HELP, CARD, ROWS, *(f"list {kind}" for kind in KINDS), *WRONG]
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "COLUMNS": "100"},
    )
    found: dict[str, tuple[int, str, str, list[str]]] = json.loads(printed.stdout)
    return found


def test_no_answer_imports_torch(answers: dict[str, tuple[int, str, str, list[str]]]) -> None:
    assert {line: heavy for line, (_, _, _, heavy) in answers.items() if heavy} == {}


def test_help_and_lists_end_well_and_say_something(answers: dict[str, tuple[int, str, str, list[str]]]) -> None:
    for line in [*HELP, CARD, ROWS, *(f"list {kind}" for kind in KINDS)]:
        code, out, err, _ = answers[line]
        assert (code or 0, err) == (0, "") and out.strip(), line
        assert not line.startswith("list") or not re.search(r" $", out, re.MULTILINE), line
    for line in WRONG:
        code, out, err, _ = answers[line]
        assert (code, out) == (2, "") and err.count("\n") == 1, (line, err)


def test_every_setting_is_in_the_help(answers: dict[str, tuple[int, str, str, list[str]]]) -> None:
    from fedprivacy.cli.settings import fields_of, flag_of

    help_text = answers["run --help-all"][1]
    for path in fields_of():
        assert flag_of(path) in help_text, path
    assert len({flag_of(path) for path in fields_of()}) == len(fields_of())


def test_every_name_is_in_its_list(answers: dict[str, tuple[int, str, str, list[str]]]) -> None:
    from fedprivacy import catalog
    from fedprivacy.config.protocol_cards import CARDS

    for name in CARDS:
        assert f"{name}  " in answers["list protocols"][1]
    for kind in KINDS[1:]:
        shown = answers[f"list {kind}"][1].split()
        assert set(catalog.described(kind)) <= set(shown), kind
        assert set(catalog.described(kind)), kind


def test_one_protocol_is_explained_with_the_values_of_its_settings(
    answers: dict[str, tuple[int, str, str, list[str]]],
) -> None:
    from fedprivacy.config.protocol_cards import CARDS

    shown = " ".join(answers[CARD][1].split())
    card = CARDS["cfd"]
    for words in (card.title, card.source, card.weighting, *card.options.model_fields):
        assert words in shown
    assert "delta one of auto, on, off; default auto Code only what changed" in shown
    assert "distill_epochs a whole number, at least 1; default 10" in shown
