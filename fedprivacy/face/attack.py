"""``fedprivacy.attack``: a stored run, a recording, or scores from elsewhere, attacked without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedprivacy import parts
from fedprivacy.catalog import ATTACKS, EVERY
from fedprivacy.cli.carry_out import attacked_again, made_by_reading, placed, ready, trusted
from fedprivacy.face.result import RunResult
from fedprivacy.face.settings import configured
from fedprivacy.face.study import Study
from fedprivacy.recording.files import is_recording
from fedprivacy.study import stored
from fedprivacy.study.every import with_every_attack
from fedprivacy.study.membership.foreign import judge_file
from fedprivacy.study.membership.scores_file import read_scores
from fedprivacy.study.recorded import configuration


def attack(
    what: str | Path,
    *,
    out: str | Path | None = None,
    device: str = "cpu",
    fresh: bool = False,
    allow_code: bool = False,
    model: Any = None,
    **settings: Any,
) -> RunResult:
    """Attack a run folder again (other adversaries, statistics, levels), a recording, or the scores in a ``.npz`` file.

    ``model`` is the architecture of a recording (a list of them by client) where it is not one of fedprivacy's own.

    ``settings`` are those of an attack, such as ``adversary="client-2"``. The new folder lies beside the old one, or in
    ``out``; ``fresh`` replaces what the same attack left there. A run that names code from outside is refused unless
    ``allow_code``: it would run with your rights.
    """
    path = Path(what)
    if is_recording(path):
        return recorded(path, model, out, device, fresh, settings)[0]
    if path.suffix == ".npz":
        config = configured(settings, path.parent)
        with made_by_reading(out, f"scores-{path.stem}", fresh) as where:
            return RunResult.of(judge_file(read_scores(path), config.attack, where), where)
    with stored.reading(path):
        base = stored.read_config(path)
        base.setdefault("attack", {}).setdefault("attacks", ["membership"])
        config = configured(settings, path.parent, base)
        trusted(config, path, allow_code)
        study = ready(config, None, device)
        where = placed(config, Path(out) if out is not None else path.parent)
        return RunResult.of(attacked_again(study, path, where, device, fresh, True), where)


def recorded(
    path: Path, model: Any, out: str | Path | None, device: str, fresh: bool, settings: dict[str, Any]
) -> tuple[RunResult, Study]:
    """What attacking a recording finds, and the study of that attack."""
    given = [] if model is None else model if isinstance(model, list | tuple) else [model]
    names = [one if isinstance(one, str) else parts.refer(one) for one in given]
    wanted = settings.pop("attack", "membership")
    every = EVERY in ([wanted] if isinstance(wanted, str) else wanted)
    chosen = {"attack": tuple(ATTACKS) if every else wanted, **settings}
    attack = configured(chosen, path.parent).attack.model_dump(exclude_unset=True)
    config = configuration(path, attack, names)
    if every:
        config = with_every_attack(config)
    place = Path(out) if out is not None else path.parent
    study = Study.resolved(config)
    return study.run(out=place, device=device, baselines=False, fresh=fresh), study
