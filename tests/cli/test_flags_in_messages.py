"""Every flag that a message names is one that exists, and of a command that takes it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedprivacy as package
from fedprivacy.cli.main import VERBS

Call = Callable[..., Any]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def flags(verb: str) -> set[str]:
    command = importlib.import_module(f"fedprivacy.cli.{verb}").command
    every = (command, *getattr(command, "commands", {}).values())
    return {flag for one in every for option in one.params for flag in (*option.opts, *option.secondary_opts)}


def test_every_flag_in_an_error_exists() -> None:
    known = set().union(*map(flags, VERBS)) | {"--debug", "--board", "--by"}  # the last two: leaderboard
    named: dict[str, str] = {}
    for path in Path(package.__file__).parent.rglob("*.py"):
        for raised in (node for node in ast.walk(ast.parse(path.read_text())) if _is_usage_error(node)):
            for node in ast.walk(raised):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    named |= dict.fromkeys(FLAG.findall(node.value), path.name)
    assert len(named) > 30
    assert {flag: where for flag, where in named.items() if flag not in known} == {}


def _is_usage_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UsageError"


@pytest.mark.parametrize(
    "line",
    [
        "compare fedavg mutual --attack inversion --bins 1",
        "compare fedavg mutual --attack membership --known-shares 0.5 --shadows 4",
        "compare fedavg mutual --attack theft",
        "compare mutual --set payload=logits",
        "sweep --defense gaussian --protocol mutual --defense-set clip=x",
        "sweep --defense gaussian --protocol mutual --set payload=logits",
        "audit --scores nowhere.npz",
        "audit nowhere --clients 3",
        "attack --scores nowhere.npz --shadows 3",
    ],
)
def test_a_command_names_flags_that_it_takes(line: str, fedprivacy: Call) -> None:
    ended = fedprivacy(line)
    verb = line.partition(" ")[0]
    assert ended.code == 2
    assert set(FLAG.findall(ended.err)) - set(line.split()) <= flags(verb), ended.err
