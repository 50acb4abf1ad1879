"""The recipes are what their commands print: the builder runs them, and no page names a flag that is gone."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import click
import pytest

from fedprivacy import catalog
from fedprivacy.adversary.observations import OBSERVATIONS
from fedprivacy.cli.main import VERBS, cli

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "recipes").glob("*.md"))


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_docs", DOCS / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["build_docs"] = module
    spec.loader.exec_module(module)
    return module


PAGE = """# A page
```python file=hello.py
print("one \\\\\\\\\\ntwo\\nthree")
```
```console head=2
$ python \\
    hello.py
an old line
```
```console exit=3
$ echo told; exit 3
```
```
not a command
```
"""


def test_output_is_replaced_and_all_else_stays(build: ModuleType, tmp_path: Path) -> None:
    made = build.built(PAGE, tmp_path)
    assert made == PAGE.replace("an old line", "one \\\\\ntwo\n[...]").replace("exit 3\n", "exit 3\ntold\n")
    assert build.built(made, tmp_path) == made


def test_a_command_that_fails_is_told(build: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit 4"):
        build.built("```console\n$ exit 4\n```\n", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_are_built_and_their_commands_exist(page: Path, build: ModuleType) -> None:
    found = build.blocks(page.read_text(encoding="utf-8"))
    shown = [block for block in found if block.kind == "console"]
    assert shown
    for block in found:
        if block.kind != "console":
            compile(block.body, block.about, "exec")
    for block in shown:
        assert block.body.strip() != block.head.strip() or "fedprivacy" not in block.head, f"{page.name}: not built"
        for command in block.commands:
            words = shlex.split(re.split(r"[;|>]", command)[0])
            if words[0] == "fedprivacy":
                assert words[1] in VERBS
                assert not [word for word in words if word.startswith("--") and word not in flags(words[1])], command


@pytest.mark.parametrize(
    ("head", "known"),
    [("`--attack`", catalog.ATTACKS), ("observation", OBSERVATIONS), ("statistic", catalog.STATISTICS)],
    ids=["attacks", "observations", "statistics"],
)
def test_the_page_of_attacks_has_every_name_and_no_other(head: str, known: Mapping[str, object]) -> None:
    table = (DOCS / "attacks.md").read_text(encoding="utf-8").split(f"\n| {head} |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE) == list(known)


def flags(verb: str) -> set[str]:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
