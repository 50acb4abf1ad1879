"""JSON schemas of all that fedprivacy writes as JSON, made from the types themselves.

The files in ``schemas/`` are what a reader in another language takes; a test holds them against the types, and
``python -m fedprivacy.reporting.schema`` writes them again after a type has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from fedprivacy.judge.result import SCHEMA, RunResult, Verdict
from fedprivacy.reporting.leaderboard import Entry
from fedprivacy.reporting.record import Record
from fedprivacy.reporting.tidy import Row

RUNS: Literal["fedprivacy/runs/1"] = "fedprivacy/runs/1"
TABLE: Literal["fedprivacy/table/1"] = "fedprivacy/table/1"


@dataclass(frozen=True)
class Labelled:
    """One run of several, under the name that the tables give it."""

    run: str
    result: RunResult


@dataclass(frozen=True)
class Runs:
    """What ``compare`` and ``sweep`` write."""

    schema: Literal["fedprivacy/runs/1"]
    runs: tuple[Labelled, ...]
    verdicts: tuple[Verdict, ...]
    """Each run against the first."""


@dataclass(frozen=True)
class Tabled:
    """What ``reproduce`` writes: the tidy rows, as in CSV, and what became of the claim."""

    schema: Literal["fedprivacy/table/1"]
    title: str
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]


TYPES: Mapping[str, Any] = {"result": RunResult, "runs": Runs, "table": Tabled, "record": Record, "leaderboard": Entry}


def made(name: str) -> dict[str, Any]:
    """The schema of one of :data:`TYPES`; a field that it does not name is an error."""
    content = TypeAdapter(TYPES[name]).json_schema(mode="serialization")
    parts = content.get("$defs", {})
    for part in (content, *parts.values()):
        if "properties" in part:
            part["additionalProperties"] = False
    for part in (content, *parts.values()):
        if part.get("title") == RunResult.__name__:
            part["properties"]["schema"] = {"const": SCHEMA}
        if part.get("title") in (RunResult.__name__, Runs.__name__):
            part["properties"]["seal"] = {"type": "string", "description": "SHA-256 of the rest, in a stored file."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


def stored(name: str) -> dict[str, Any]:
    """The schema as the package carries it."""
    text = resources.files("fedprivacy.reporting").joinpath(f"schemas/{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def write(where: Path) -> None:
    """All schemas as files."""
    where.mkdir(parents=True, exist_ok=True)
    for name in TYPES:
        (where / f"{name}.json").write_text(json.dumps(made(name), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent / "schemas")
