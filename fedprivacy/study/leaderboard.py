"""Results for the leaderboard: which suite made one, what of it stands on the board, and the folder of entries."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedprivacy import folder, lock, parts
from fedprivacy.attacks.version import NAME
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.comparison import standings
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.leaderboard import ENTRY, OURS, Entry, Measured, Seat, document
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.settings import defense_name, options, setting
from fedprivacy.reporting.text import scientific
from fedprivacy.study import recipes

FREE = ("protocol", "options", "topology", "attack", "defense")
"""Settings that a competitor chooses; all others are the suite's."""

PAGE = "README.md"
TPR = "TPR@10%FPR"


@dataclass(frozen=True)
class Suite:
    """``digest`` is that of all settings that are not free, defaults included, as this version was made."""

    version: int
    digest: str
    settings: Mapping[str, Any]

    @property
    def config(self) -> RunConfig:
        """With the default protocol."""
        return build(RunConfig, dict(self.settings), "suite.toml")


@cache
def suite() -> Suite:
    """The present one."""
    return Suite(**recipes.table("suite"))


def fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a stored configuration that the suite decides, by their dotted path."""
    return dict(_flat({name: value for name, value in config.items() if name not in FREE}))


def digest_of(settings: Mapping[str, Any]) -> str:
    """Eight hex digits that name a suite's settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def assert_of_suite(result: RunResult) -> None:
    """Raise UsageError where ``result`` was made under other settings than the present suite."""
    own, wanted = fixed(result.config), fixed(suite().config.model_dump(mode="json"))
    own["attack.followed"], wanted["attack.followed"] = setting(result.config, "attack.followed"), None
    differ = [f"{name} = {own.get(name)} (suite: {value})" for name, value in wanted.items() if own.get(name) != value]
    if differ:
        raise UsageError(
            f"leaderboard: made under other settings than suite {suite().version}: {'; '.join(differ[:4])}. "
            "`fedprivacy leaderboard settings` prints those of the suite."
        )
    if "test_accuracy" not in result.utility:
        raise UsageError("leaderboard: the result has no test accuracy.")


def measured(result: RunResult, by: str) -> Measured:
    """What of ``result`` stands on the board. Raises UsageError where it is none of the suite."""
    assert_of_suite(result)
    accuracy, wire, claim = result.utility["test_accuracy"], result.communication, result.privacy
    versions, level = result.provenance.versions, setting(result.config, "attack.level")
    told = (defense_name(result), _defense(result), options(setting(result.config, "options")))
    return Measured(
        suite=suite().version,
        by=by,
        result=folder.seal_of(result.to_json())[:12],
        settings=", ".join(filter(None, told)),
        attacks=versions.get(NAME, "version not stored"),
        fedprivacy=versions.get("fedprivacy", ""),
        seeds=result.provenance.seeds,
        level=float(level or 0.95),
        accuracy=accuracy.mean,
        accuracy_low=accuracy.low if accuracy.n > 1 else None,
        accuracy_high=accuracy.high if accuracy.n > 1 else None,
        bytes=wire.up_bytes + wire.down_bytes,
        public_bytes=wire.public_bytes,
        epsilon=claim.epsilon,
        delta=claim.delta,
        unit=claim.unit,
        seats=tuple(_seats(result)),
    )


def _defense(result: RunResult) -> str:
    """What else a defense is set to: two that differ in delta or a clip are two."""
    if not defense_name(result):
        return ""
    claimed = setting(result.config, "defense.delta") if setting(result.config, "defense.epsilon") is not None else None
    delta = "" if claimed is None else f"delta {scientific(claimed)}"
    return ", ".join(filter(None, (delta, options(setting(result.config, "defense.options")))))


def _seats(result: RunResult) -> Iterator[Seat]:
    """The declared attack of each seat; of several adversaries in one seat the strongest."""
    best: dict[tuple[str, str], Seat] = {}
    for one in standings(result, ""):
        found = _seat(one.seat, one.knowledge, one.auc, one.headline.get(TPR))
        key = (found.seat, found.knowledge)
        if key not in best or (best[key].auc or 0.0) < (found.auc or 0.0):
            best[key] = found
    yield from best.values()


def _seat(place: str, knowledge: str, auc: Finding, tpr: Finding | None) -> Seat:
    few = tpr is None or bool(tpr.flag)
    return Seat(
        place,
        knowledge,
        f"{parts.title(auc.statistic)} on {auc.observation}",
        auc.value,
        auc.low,
        auc.high,
        auc.chance_high,
        None if few or tpr is None else tpr.value,
        None if few or tpr is None else tpr.low,
        None if few or tpr is None else tpr.high,
        auc.n,
        auc.note if auc.value is None else "",
    )


def slug(protocol: str) -> str:
    """File name of a protocol's entry, without its ending."""
    return re.sub(r"[^a-z0-9]+", "-", parts.title(protocol).lower()).strip("-") or "protocol"


def read(path: Path) -> Entry:
    """An entry from its file. Raises UsageError where it is none."""
    try:
        return TypeAdapter(Entry).validate_python(folder.parsed(folder.read_bytes(path), path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{path} is no entry of a leaderboard: {where}: {problem['msg']}.") from None


def entries(board: Path) -> list[Entry]:
    """All entries of a board, by name."""
    return [read(path) for path in sorted(board.glob("*.json"))]


def add(result: RunResult, board: Path, by: str) -> tuple[Path, Measured]:
    """Put ``result`` on the board and make its page again; the same run by the same hand replaces its earlier one.

    One after the other, so that the page is one of all entries.
    """
    new = measured(result, by)
    with lock.held(lock.beside(board), wait=True):
        return _add(result, new, board, by), new


def _add(result: RunResult, new: Measured, board: Path, by: str) -> Path:
    protocol = str(setting(result.config, "protocol"))
    path = board / f"{slug(protocol)}.json"
    card = CARDS.get(protocol)
    title, source = (card.title, card.source) if card is not None else (parts.title(protocol), f"run by {by}")
    before = read(path) if path.exists() else Entry(ENTRY, parts.title(protocol), title, source)
    if before.protocol != parts.title(protocol):
        raise UsageError(f"leaderboard: {path} is of protocol {before.protocol}; rename yours.")
    others = tuple(one for one in before.measured if _key(one) != _key(new))
    kept = sorted((*others, new), key=lambda one: (-one.suite, one.by != OURS, one.by, one.settings))
    write(path, replace(before, measured=tuple(kept)))
    make_page(board)
    return path


def _key(one: Measured) -> tuple[object, ...]:
    seats = tuple((seat.seat, seat.knowledge, seat.attack) for seat in one.seats)
    return one.suite, one.by, one.settings, seats


def write(path: Path, entry: Entry) -> None:
    """An entry as readable JSON, without a seal: people write what papers report by hand."""
    folder.write_text(path, json.dumps(entry.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_page(board: Path) -> Path:
    """The page of all entries."""
    page = board / PAGE
    folder.write_text(page, document_to_markdown(document(entries(board), suite().version)))
    return page
