"""``fedprivacy.compare`` and ``fedprivacy.sweep``: several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedprivacy import catalog
from fedprivacy.cli.carry_out import machine
from fedprivacy.cli.sweep import under
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.face.result import Comparison, RunResult
from fedprivacy.face.settings import check_workers, configured, keywords
from fedprivacy.face.study import Study
from fedprivacy.reporting.compare import run_labels
from fedprivacy.study.every import silent


def compare(
    protocols: Sequence[Any],
    *,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    fresh: bool = False,
    exact: bool = False,
    **settings: Any,
) -> Comparison:
    """Several protocols on the same data and seeds; arguments as those of :func:`fedprivacy.run`."""
    if not protocols or isinstance(protocols, str):
        raise UsageError(f"compare: give the protocols as a list, such as {catalog.sending()[:2]}.")
    if settings.get("options"):
        raise UsageError("compare: options belong to one protocol; use run for each.")
    plain = {name: value for name, value in settings.items() if not keywords().get(name, "").startswith("attack.")}
    quiet = [isinstance(one, str) and silent(one) for one in protocols]
    chosen = zip(protocols, quiet, strict=True)
    configs = [configured({"protocol": one, **(plain if bare else settings)}, Path(out)) for one, bare in chosen]
    results = _all_of(configs, out=out, workers=workers, device=device, fresh=fresh, exact=exact)
    return Comparison(results, tuple(run_labels(results)))


def sweep(
    epsilons: Sequence[float] = (0.5, 1, 2, 4, 8, math.inf),
    *,
    defense: Any,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    fresh: bool = False,
    exact: bool = False,
    **settings: Any,
) -> Comparison:
    """The same run under several budgets; ``inf`` is the run without the defense."""
    if not epsilons or not all(epsilon > 0 for epsilon in epsilons):
        raise UsageError("sweep: epsilons are numbers above 0, or inf.")
    base = configured({"defense": defense, **settings}, Path(out))
    configs = [under(base, float(epsilon)) for epsilon in epsilons]
    results = _all_of(configs, out=out, workers=workers, device=device, fresh=fresh, exact=exact)
    labels = ["no defense" if math.isinf(e) else f"{base.defense.name}, epsilon {e:g}" for e in epsilons]
    return Comparison(results, tuple(labels))


def _all_of(
    configs: Sequence[RunConfig], *, out: str | Path, workers: int, device: str, fresh: bool, exact: bool
) -> tuple[RunResult, ...]:
    """What each run found; all that can be found wrong is told before the first."""
    for config in configs:
        check_workers(config, workers)
    studies = [Study.resolved(config) for config in configs]
    machine(workers, device)
    how: dict[str, Any] = {"out": out, "workers": workers, "device": device, "fresh": fresh, "exact": exact}
    return tuple(study.run(baselines=False, **how) for study in studies)
