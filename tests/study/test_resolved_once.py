"""A configuration is resolved once a process and run, and nobody below the study reads the whole of it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fedprivacy
from fedprivacy.config.run import RunConfig
from fedprivacy.study import resolve as place

HOME = Path(fedprivacy.__file__).parent
SMALL: dict[str, Any] = {
    "dataset": "digits",
    "clients": 3,
    "rounds": 2,
    "candidates": 30,
    "auxiliary": 30,
    "public_size": 10,
    "local_epochs": 1,
}
Counted = Callable[[], dict[str, int]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How often each configuration was resolved since the last call, by protocol, defense and attacks."""
    found: Counter[str] = Counter()
    real = place.Study

    def counting(config: RunConfig, *rest: Any) -> Any:
        words = (config.protocol, config.defense.name, str(config.defense.sigma), config.digest())
        found[" ".join(words)] += 1
        return real(config, *rest)

    monkeypatch.setattr(place, "Study", counting)
    monkeypatch.setattr(place, "_known", {})

    def told() -> dict[str, int]:
        seen = dict(found)
        found.clear()
        return seen

    return told


def once(seen: dict[str, int], configurations: int) -> None:
    assert set(seen.values()) == {1} and len(seen) == configurations, seen


def test_a_run_with_shadows_seeds_and_baselines(counted: Counted, tmp_path: Path) -> None:
    fedprivacy.run("fedavg", attack="membership", shadows=2, seeds=2, out=tmp_path, **SMALL)
    once(counted(), 2)  # itself, and the run without exchange


def test_a_run_by_the_command_line_with_every_attack(
    counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedprivacy.cli.run import command

    monkeypatch.chdir(tmp_path)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    line = ["--protocol", "mutual", "--attack", "all", "--no-baselines", "--workers", "1", "--iterations", "5", *given]
    assert command.main([*line, "--surrogate-epochs", "2"], standalone_mode=False) == 0
    once(counted(), 1)


def test_a_stored_run_attacked_again_and_a_sweep(counted: Counted, tmp_path: Path) -> None:
    done = fedprivacy.run("fedavg", attack="membership", baselines=False, out=tmp_path, **SMALL)
    counted()
    assert done.folder is not None
    fedprivacy.attack(done.folder, adversary="client-1")
    once(counted(), 1)
    fedprivacy.sweep(
        [1, 8], protocol="fedavg", defense="dp-fedavg", options={"weighting": "uniform"}, out=tmp_path, **SMALL
    )
    once(counted(), 2)


def test_an_audit_and_its_control(counted: Counted, tmp_path: Path) -> None:
    settings = {**SMALL, "defense": "dp-sgd", "epsilon": 4, "lr": 0.1, "optimizer": "sgd"}
    fedprivacy.audit(protocol="fedavg", options={"weighting": "uniform"}, out=tmp_path, **settings)
    once(counted(), 2)


def test_a_recording_and_an_audit_of_it(counted: Counted, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    game = fedprivacy.deal(*load_digits(return_X_y=True), clients=3, candidates=30, rounds=2, auxiliary=30, seed=0)
    with fedprivacy.record(tmp_path / "rec", game, model="mlp") as wire:
        net = game.model()
        wire.started(net)
        for t in range(1, game.rounds + 1):
            for k in range(game.clients):
                wire.sent(t, f"client-{k}", "server", weights=net)
            wire.sent(t, "server", wire.everyone, weights=net)
    counted()
    fedprivacy.attack(tmp_path / "rec")
    once(counted(), 1)
    fedprivacy.audit(tmp_path / "rec", epsilon=4, fresh=True)
    once(counted(), 1)


MAKE = "makes configurations, of a page or a recording, for others to resolve"
NAME = "names folders by it, writes it down, or sends it to jobs as JSON"
WHOLE: dict[str, str] = {
    **dict.fromkeys(("check", "every", "resolve", "resolved", "variants"), "is the resolving layer"),
    **dict.fromkeys(("run", "stored"), NAME),
    **dict.fromkeys(
        (
            "audit/unchosen",
            "conformance/check",
            "conformance/tried",
            "leaderboard",
            "leakage/measured",
            "paper/curves",
            "paper/made",
            "paper/recipe",
            "recorded",
            "runner",
            "tables/made",
            "tables/page",
            "tables/recipe",
            "verdict/measured",
            "verdict/plan",
        ),
        MAKE,
    ),
}
"""Modules of ``study`` that know what a whole configuration is, and why."""

LAYER = frozenset({"study/resolved.py", "study/tables/made.py", "study/tables/page.py"})
"""Where fields are read off a ``config``: the study itself, and a page's lines, which are to be run."""

FIELDS = frozenset(RunConfig.model_fields)


def trees(*rooms: str) -> Iterator[tuple[str, ast.AST]]:
    for room in rooms:
        for path in sorted((HOME / room).rglob("*.py")):
            yield path.relative_to(HOME).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names_whole(tree: ast.AST) -> bool:
    imported = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return any(alias.name == "RunConfig" for node in imported for alias in node.names)


def fields_read(tree: ast.AST) -> list[str]:
    """``x.config.rounds`` and its kin, by line."""
    found = (n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Attribute))
    return [f"{n.lineno}: .config.{n.attr}" for n in found if n.value.attr == "config" and n.attr in FIELDS]  # type: ignore[attr-defined]


def test_only_who_has_a_reason_knows_a_whole_configuration() -> None:
    known = {name.removeprefix("study/").removesuffix(".py") for name, tree in trees("study") if names_whole(tree)}
    assert known == set(WHOLE)


def test_nobody_below_the_study_knows_one() -> None:
    above = {"study", "cli", "face", "flower", "config"}
    below = sorted(path.name for path in HOME.iterdir() if path.is_dir() and path.name not in above)
    assert [name for name, tree in trees(*below) if names_whole(tree)] == []


def test_a_study_is_asked_and_not_its_configuration() -> None:
    found = {name: hits for name, tree in trees("study", "face", "flower") if (hits := fields_read(tree))}
    assert {name: hits for name, hits in found.items() if name not in LAYER} == {}


def test_the_search_finds_a_read() -> None:
    assert fields_read(ast.parse("study.config.rounds + self.config.data.layout")) == [
        "1: .config.rounds",
        "1: .config.data",
    ]
    assert names_whole(ast.parse("from fedprivacy.config.run import RunConfig"))
