"""``fedprivacy.audit``: a claimed epsilon beside the lower bound that is measured."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

from fedprivacy.cli.audit import base
from fedprivacy.cli.carry_out import placed, ready, taken_up, trusted
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.face.attack import recorded
from fedprivacy.face.mechanism import audit_function
from fedprivacy.face.result import RunResult, load
from fedprivacy.face.settings import check_workers, configured, keywords
from fedprivacy.face.study import AGAIN
from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.recording.files import is_recording
from fedprivacy.study import stored
from fedprivacy.study.audit.run import audit as carried
from fedprivacy.study.audit.run import audit_recorded, audit_stored
from fedprivacy.study.audit.scores import audit_file
from fedprivacy.study.mechanism.pairs import Norm
from fedprivacy.study.membership.scores_file import read_scores
from fedprivacy.study.resolve import resolve


@overload
def audit(
    what: Callable[[Any], Any],
    *,
    epsilon: float,
    delta: float = ...,
    neighbours: tuple[Any, Any] | None = ...,
    sensitivity: float | None = ...,
    shape: tuple[int, ...] = ...,
    norm: Norm = ...,
    relation: str = ...,
    calls: int = ...,
    stop_early: bool = ...,
    level: float = ...,
    seed: int = ...,
) -> MechanismAudit: ...


@overload
def audit(
    what: str | Path | None = None,
    *,
    out: str | Path = ...,
    workers: int = ...,
    device: str = ...,
    control: bool = ...,
    fresh: bool = ...,
    exact: bool = ...,
    allow_code: bool = ...,
    model: Any = ...,
    **settings: Any,
) -> RunResult: ...


def audit(
    what: str | Path | Callable[[Any], Any] | None = None,
    *,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    control: bool = True,
    fresh: bool = False,
    exact: bool = False,
    allow_code: bool = False,
    model: Any = None,
    **settings: Any,
) -> RunResult | MechanismAudit:
    """Hold a claimed epsilon against what an attack on canaries measures.

    Without ``what`` a defended federation is trained: ``audit(defense="dp-sgd", epsilon=4)``. With a run folder its
    scores are audited, with a recording what attacking it finds, and with a ``.npz`` file those in it, the last two
    against ``epsilon`` and ``delta``; then nothing is trained. ``model`` is the architecture, as in
    :func:`fedprivacy.attack`. The verdicts of the result say what was found; ``.table("audit")`` has every bound.

    With a function of your own that adds noise, arrays to noised arrays, its outputs on two neighbouring inputs are
    held against ``epsilon`` and ``delta``: ``audit(noised, epsilon=1, neighbours=(a, b))``, or ``sensitivity=1,
    shape=(3,)``; the keywords are those of :func:`fedprivacy.face.mechanism.audit_function`, and so is the result.
    """
    if callable(what):
        given = {"out": out != "runs", "workers": workers != 1, "device": device != "cpu", "control": not control}
        given |= {"fresh": fresh, "allow_code": allow_code, "model": model is not None, "exact": exact}
        idle = [name for name, said in given.items() if said]
        if idle:
            raise UsageError(f"audit of a function: {', '.join(idle)} would do nothing.")
        return _of_function(what, settings)
    if what is None:
        settings |= {} if model is None else {"model": model}
        return _trained(Path(out), workers, device, control, fresh, exact, settings)
    path = Path(what)
    if is_recording(path):
        return _recorded(path, model, device, fresh, settings)
    if path.suffix == ".npz":
        epsilon = settings.pop("epsilon", None)
        if epsilon is None:
            raise UsageError("audit: say what the scores are held against: epsilon, and unless it is 1e-5, delta.")
        config = configured(settings, path.parent)
        claim = (float(epsilon), config.defense.delta, config.canaries.guesses)
        return RunResult.of(audit_file(read_scores(path), config.attack, *claim), None)
    with stored.reading(path):
        config = configured(settings, path.parent, stored.read_config(path))
        trusted(config, path, allow_code)
        return RunResult.of(audit_stored(load(path), resolve(config), path, None), path)


def _of_function(what: Callable[[Any], Any], settings: dict[str, Any]) -> MechanismAudit:
    able = [name for name in inspect.signature(audit_function).parameters if name != "mechanism"]
    for name in settings:
        if name not in able:
            raise UsageError(f"audit of a function has no {name}. {near_miss(name, able)}")
    return audit_function(what, **settings)


def _recorded(path: Path, model: Any, device: str, fresh: bool, settings: dict[str, Any]) -> RunResult:
    claimed = {name: settings.pop(name) for name in ("epsilon", "delta", "guesses") if name in settings}
    if claimed.get("epsilon") is None:
        raise UsageError("audit: say what the recording is held against: epsilon, and unless it is 1e-5, delta.")
    asked = configured({name: value for name, value in claimed.items() if name != "epsilon"}, path.parent)
    found, study = recorded(path, model, None, device, fresh, settings)
    assert found.folder is not None
    epsilon, delta = float(claimed["epsilon"]), asked.defense.delta
    return RunResult.of(
        audit_recorded(found, study, found.folder, epsilon, delta, asked.canaries.guesses), found.folder
    )


def _trained(
    out: Path, workers: int, device: str, control: bool, fresh: bool, exact: bool, settings: dict[str, Any]
) -> RunResult:
    chosen = configured(settings, out)
    given = {keywords()[name].replace(".", "__"): name for name in settings if name in keywords()}
    flags = {path: _at(chosen, path) for path in given}
    content = base({**flags, "options": None})
    content.setdefault("defense", {})["options"] = dict(chosen.defense.options)
    config = configured({**settings}, out, content)
    check_workers(config, workers)
    study = ready(config, workers, device)
    where = out / f"audit-{placed(config, out).name}"
    result = taken_up(
        lambda plan: carried(study, plan, control),
        study,
        where,
        workers,
        device,
        not fresh,
        fresh,
        False,
        True,
        AGAIN,
        lambda found: found.audit is not None,
        exact,
    )
    return RunResult.of(result, where)


def _at(config: Any, path: str) -> Any:
    for step in path.split("__"):
        config = getattr(config, step)
    return config
