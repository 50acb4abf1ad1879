"""Make the recipes again from real runs: ``make docs``, or ``python docs/build.py docs/recipes/data.md ...``.

A page is Markdown. A block ``python file=NAME`` is written to NAME in an empty folder; the first lines of a block
``console``, each behind ``$``, are run there, and what they print takes the place of the rest of the block. ``console
head=12`` keeps the first twelve lines of it. ``exit=1`` says that a command is to end with that code.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"
BLOCK = re.compile(r"^```(?P<kind>python file=|console)(?P<about>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
MORE = "[...]"


@dataclass(frozen=True)
class Block:
    """One block of a page; ``settings`` such as ``head``."""

    kind: str
    about: str
    body: str

    @property
    def settings(self) -> dict[str, int]:
        """Of a ``console``."""
        return {name: int(value) for name, _, value in (word.partition("=") for word in self.about.split())}

    @property
    def commands(self) -> list[str]:
        """What stands behind the dollar signs; a line that ends in a backslash goes on."""
        return [line.removeprefix("$ ") for line in self.head.replace("\\\n", "").splitlines()]

    @property
    def head(self) -> str:
        """The lines of the commands as they stand."""
        typed, goes_on = [], False
        for line in self.body.splitlines():
            if not (goes_on or line.startswith("$ ")):
                break
            typed.append(line)
            goes_on = line.endswith("\\")
        return "\n".join(typed)


def blocks(text: str) -> list[Block]:
    """All blocks of a page that are files or commands."""
    return [Block(found["kind"], found["about"].strip(), found["body"]) for found in BLOCK.finditer(text)]


def built(text: str, where: Path) -> str:
    """The page with the output of its commands, run in ``where``. Raises RuntimeError where one ends otherwise."""
    shell = f'fedprivacy() {{ "{sys.executable}" -m fedprivacy "$@"; }}; python() {{ "{sys.executable}" "$@"; }}; '
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", "TERM": "dumb"}

    def again(found: re.Match[str]) -> str:
        block = Block(found["kind"], found["about"].strip(), found["body"])
        if block.kind != "console":
            (where / block.about).write_text(block.body, encoding="utf-8")
            return found[0]
        printed: list[str] = []
        for command in block.commands:
            done = subprocess.run(
                ["bash", "-c", shell + command], cwd=where, env=environment, capture_output=True, text=True
            )
            if done.returncode != block.settings.get("exit", 0):
                raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            printed += [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
        most = block.settings.get("head", len(printed))
        shown = printed if len(printed) <= most else [*printed[:most], MORE]
        return "\n".join([f"```console {block.about}".rstrip(), block.head, *shown, "```"])

    return BLOCK.sub(again, text)


def main(pages: Sequence[str]) -> None:
    """Build ``pages``, or all recipes."""
    for page in map(Path, pages or sorted(map(str, RECIPES.glob("*.md")))):
        with tempfile.TemporaryDirectory() as folder:
            text = built(page.read_text(encoding="utf-8"), Path(folder))
        page.write_text(text, encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main(sys.argv[1:])
