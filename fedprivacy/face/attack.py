"""``fedprivacy.attack``: a stored run, a recording, or scores from elsewhere, attacked without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedprivacy.cli.carry_out import attacked_again, made_by_reading, placed, ready, trusted
from fedprivacy.face.result import RunResult
from fedprivacy.face.settings import configured
from fedprivacy.study import stored
from fedprivacy.study.membership.foreign import judge_file
from fedprivacy.study.membership.scores_file import read_scores


def attack(
    what: str | Path,
    *,
    out: str | Path | None = None,
    device: str = "cpu",
    fresh: bool = False,
    allow_code: bool = False,
    **settings: Any,
) -> RunResult:
    """Attack a run folder again (other adversaries, statistics, levels), or judge the scores in a ``.npz`` file.

    ``settings`` are those of an attack, such as ``adversary="client-2"``. The new folder lies beside the old one, or in
    ``out``; ``fresh`` replaces what the same attack left there. A run that names code from outside is refused unless
    ``allow_code``: it would run with your rights.
    """
    path = Path(what)
    if path.suffix == ".npz":
        config = configured(settings, path.parent)
        where = None if out is None else made_by_reading(Path(out), f"scores-{path.stem}", fresh)
        return RunResult.of(judge_file(read_scores(path), config.attack, where), where)
    with stored.reading(path):
        base = stored.read_config(path)
        base.setdefault("attack", {}).setdefault("attacks", ["membership"])
        config = configured(settings, path.parent, base)
        trusted(config, path, allow_code)
        ready(config, None, device)
        where = placed(config, Path(out) if out is not None else path.parent)
        return RunResult.of(attacked_again(config, path, where, device, fresh, True), where)
