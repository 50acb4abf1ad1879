"""``fedprivacy.attack``: a stored run, a recording, or scores from elsewhere, attacked without training."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fedprivacy.cli.carry_out import placed, ready, trusted
from fedprivacy.config.base import UsageError
from fedprivacy.face.result import RunResult
from fedprivacy.face.settings import configured
from fedprivacy.study.again import attack_again
from fedprivacy.study.membership.foreign import judge_file
from fedprivacy.study.membership.scores_file import read_scores


def attack(
    what: str | Path, *, out: str | Path | None = None, device: str = "cpu", allow_code: bool = False, **settings: Any
) -> RunResult:
    """Attack a run folder again (other adversaries, statistics, levels), or judge the scores in a ``.npz`` file.

    ``settings`` are those of an attack, such as ``adversary="client-2"``. The new folder lies beside the old one, or in
    ``out``. A stored run that names code from outside is refused unless ``allow_code``: it would run with your rights.
    """
    path = Path(what)
    if path.suffix == ".npz":
        config = configured(settings, path.parent)
        where = None if out is None else Path(out) / f"scores-{path.stem}"
        return RunResult.of(judge_file(read_scores(path), config.attack, where), where)
    stored = path / "config.toml"
    if not stored.exists() or not (path / "result.json").exists():
        raise UsageError(f"{path} holds no finished run (config.toml and result.json are needed).")
    base = tomllib.loads(stored.read_text(encoding="utf-8"))
    base.setdefault("attack", {}).setdefault("attacks", ["membership"])
    config = configured(settings, path.parent, base)
    trusted(config, path, allow_code)
    ready(config, None, device)
    where = placed(config, Path(out) if out is not None else path.parent)
    return RunResult.of(attack_again(config, path, where, device, lambda *_: None, lambda _: None), where)
