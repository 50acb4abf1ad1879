"""``fedprivacy.run``: one protocol, attacked, as ``fedprivacy run`` does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedprivacy.cli.carry_out import carry_out, placed, ready
from fedprivacy.config.run import RunConfig
from fedprivacy.face.result import RunResult
from fedprivacy.face.settings import check_workers, configured

AGAIN = "the same call"
DEFAULT: str = RunConfig.model_fields["protocol"].default


def run(
    protocol: str | type[Any] | Callable[..., Any] = DEFAULT,
    *,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    baselines: bool = True,
    fresh: bool = False,
    **settings: Any,
) -> RunResult:
    """Run a protocol, attack what crossed the wire, and return what was found.

    ``protocol`` is a name, a protocol class, or a function ``federate(game, wire)``. ``settings`` are those of
    ``fedprivacy run --help-all`` with ``_`` for ``-``: ``attack="membership"``, ``clients=5``, ``local_epochs=1``;
    ``model``, ``data``, ``defense``, ``statistic`` also take live classes, functions and arrays; ``options`` are the
    protocol's own. A run that is already in ``out`` is read again, an unfinished one goes on, ``fresh`` throws it
    away. More than one of ``workers`` needs a script with the usual ``if __name__ == "__main__"``. Raises
    ``UsageError``, one line.
    """
    config = configured({"protocol": protocol, **settings}, Path(out))
    return carried_out(config, Path(out), workers, device, baselines, fresh)


def carried_out(config: RunConfig, out: Path, workers: int, device: str, baselines: bool, fresh: bool) -> RunResult:
    """The result of ``config`` in its folder below ``out``."""
    check_workers(config, workers)
    ready(config, workers, device)
    where = placed(config, out)
    return RunResult.of(carry_out(config, where, workers, device, not fresh, fresh, baselines, True, AGAIN), where)
