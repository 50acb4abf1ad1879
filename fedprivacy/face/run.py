"""``fedprivacy.run``: one protocol, attacked, as ``fedprivacy run`` does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedprivacy.face.result import RunResult
from fedprivacy.face.study import DEFAULT, Study


def run(
    protocol: str | type[Any] | Callable[..., Any] | Any = DEFAULT,
    *,
    out: str | Path = "runs",
    workers: int = 1,
    device: str = "cpu",
    baselines: bool = True,
    fresh: bool = False,
    exact: bool = False,
    **settings: Any,
) -> RunResult:
    """Run a protocol, attack what crossed the wire, and return what was found.

    ``protocol`` is a name, a protocol class or an instance of one, or a function ``federate(game, wire)``. ``settings``
    are those of ``fedprivacy run --help`` with ``_`` for ``-``: ``attack="membership"``, ``clients=5``,
    ``local_epochs=1``; ``model``, ``data``, ``defense``, ``statistic`` also take live classes, functions and arrays;
    ``options`` are the protocol's own. A run that is already in ``out`` is read again, an unfinished one goes on,
    ``fresh`` throws it away. ``exact`` trains shadow federations one by one, also where several at once are faster.
    More than one of ``workers`` needs a script with the usual ``if __name__ == "__main__"``. Raises ``UsageError``, one
    line.
    """
    study = Study.of(protocol, out=out, **settings)
    return study.run(out=out, workers=workers, device=device, baselines=baselines, fresh=fresh, exact=exact)
