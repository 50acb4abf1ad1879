"""No protocol is known by its name outside ``protocols/``, its settings and its card: decisions rest on declarations.

Docstrings explain and may name one; every other string, and every identifier, is looked at. Names that are plain
English words (``local``, ``central``, ``mutual``) count only as a whole string. FedAvg, as the measure of bytes, may.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedprivacy
from fedprivacy.config.protocol_cards import CARDS

HOME = Path(fedprivacy.__file__).parent
ROOMS = sorted({path.relative_to(HOME).parts[0] for path in HOME.rglob("*.py")} - {"protocols", "config"})
TRUST = dict.fromkeys(("study/record.py", "reporting/record.py"), frozenset({"local", "central"}))
"""Where those words name models of trust of differential privacy."""
WORDS = frozenset({"local", "central", "mutual"})
NAMES = re.compile(rf"(?<![\w-])({'|'.join(re.escape(name) for name in CARDS if name not in WORDS)})(?![\w-])")


def texts(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Strings that are no docstring and no explanation of an attribute (True), and identifiers (False), by line."""
    explained = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            yield node.lineno, node.value, True
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id, False
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr, False
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name, False


def found_in(source: str, allowed: frozenset[str] = frozenset()) -> list[str]:
    """``line: text`` of each that names a protocol, but for the ``allowed`` words."""
    said, words = texts(ast.parse(source)), WORDS - allowed
    return [f"{line}: {text[:60]}" for line, text, told in said if NAMES.search(text) or (told and text in words)]


def test_the_search_finds_a_name() -> None:
    assert found_in('if config.protocol == "fedavg": pass') and found_in('kind = {"local": 1}')
    assert not found_in('"""fedavg explains."""\nx = "fedavg-like"')


@pytest.mark.parametrize("room", ROOMS)
def test_no_protocol_is_named_in(room: str) -> None:
    place = HOME / room
    found = {}
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        name = path.relative_to(HOME).as_posix()
        if hits := found_in(path.read_text(encoding="utf-8"), TRUST.get(name, frozenset())):
            found[name] = hits
    assert found == {}
