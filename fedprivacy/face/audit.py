"""``fedprivacy.audit``: a claimed epsilon beside the lower bound that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedprivacy.cli.audit import base
from fedprivacy.cli.carry_out import placed, ready, taken_up, trusted
from fedprivacy.config.base import UsageError
from fedprivacy.face.result import RunResult, load
from fedprivacy.face.run import AGAIN
from fedprivacy.face.settings import check_workers, configured, keywords
from fedprivacy.study import stored
from fedprivacy.study.audit.run import audit as carried
from fedprivacy.study.audit.run import audit_stored
from fedprivacy.study.audit.scores import audit_file
from fedprivacy.study.membership.scores_file import read_scores


def audit(
    what: str | Path | None = None,
    *,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    control: bool = True,
    fresh: bool = False,
    allow_code: bool = False,
    **settings: Any,
) -> RunResult:
    """Hold a claimed epsilon against what an attack on canaries measures.

    Without ``what`` a defended federation is trained: ``audit(defense="dp-sgd", epsilon=4)``. With a run folder its
    scores are audited, with a ``.npz`` file those in it against ``epsilon`` and ``delta``; then nothing is trained. The
    verdicts of the result say what was found; ``.table("audit")`` has every bound.
    """
    if what is None:
        return _trained(Path(out), workers, device, control, fresh, settings)
    path = Path(what)
    if path.suffix == ".npz":
        epsilon = settings.pop("epsilon", None)
        if epsilon is None:
            raise UsageError("audit: say what the scores are held against: epsilon, and unless it is 1e-5, delta.")
        config = configured(settings, path.parent)
        return RunResult.of(audit_file(read_scores(path), config, float(epsilon), None), None)
    with stored.reading(path):
        config = configured(settings, path.parent, stored.read_config(path))
        trusted(config, path, allow_code)
        return RunResult.of(audit_stored(load(path), config, path, None), path)


def _trained(out: Path, workers: int, device: str, control: bool, fresh: bool, settings: dict[str, Any]) -> RunResult:
    chosen = configured(settings, out)
    given = {keywords()[name].replace(".", "__"): name for name in settings if name in keywords()}
    flags = {path: _at(chosen, path) for path in given}
    content = base({**flags, "options": None})
    content.setdefault("defense", {})["options"] = dict(chosen.defense.options)
    config = configured({**settings}, out, content)
    check_workers(config, workers)
    ready(config, workers, device)
    where = out / f"audit-{placed(config, out).name}"
    result = taken_up(
        lambda plan: carried(config, plan, control),
        config,
        where,
        workers,
        device,
        not fresh,
        fresh,
        False,
        True,
        AGAIN,
        lambda found: found.audit is not None,
    )
    return RunResult.of(result, where)


def _at(config: Any, path: str) -> Any:
    for step in path.split("__"):
        config = getattr(config, step)
    return config
