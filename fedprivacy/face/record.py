"""``fedprivacy.deal`` and ``fedprivacy.record``: a game for a federation that runs elsewhere, and its recording."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedprivacy import parts
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import TrainingConfig
from fedprivacy.face.settings import configured
from fedprivacy.federation.bench import workbench
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.recorder import recorded
from fedprivacy.federation.own.wire import Wire
from fedprivacy.study.resolve import resolve


def deal(x: Any, y: Any = None, *, public_size: int = 0, **settings: Any) -> Deal:
    """Deal records to clients: who owns which candidates, and by a coin a candidate who trains on what.

    ``x`` [N, ...] and ``y`` [N] are arrays or tensors; ``x`` alone may be whatever ``data`` may be elsewhere, or the
    name of a data set. ``settings``: ``clients``, ``candidates`` a client, ``rounds``, ``auxiliary`` (records of the
    adversary's own), ``inclusion``, ``partition``, ``seed``, ``model`` and so on, as in :func:`fedprivacy.run`;
    ``public_size`` records a round are public. The loop trains client k on ``game.private(k)`` and on nothing else.
    """
    content = x if y is None else (x, y)
    data = content if isinstance(content, str) else parts.refer(lambda: content)
    chosen = {"dataset": data, "public_size": public_size, "auxiliary": 0, **settings}
    config = configured(chosen, Path("runs"))
    if config.data.inclusion >= 1:
        raise UsageError("deal: without coins there is nothing to tell apart; inclusion must be below 1.")
    return Deal(resolve(config).environment(config.seed)[0], coins=config.canaries.coins)


def record(
    where: str | Path,
    game: Deal,
    *,
    model: Any = None,
    training: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> AbstractContextManager[Wire]:
    """Record a federation: ``with record("rec", game, model=Net) as wire: ...``, and ``wire.sent(...)`` for all that
    crosses.

    ``model``: the architecture that travels, a class, a name, or a list of them by client. ``training``: what observers
    may assume of local training, such as ``{"optimizer": "sgd", "lr": 0.1, "batch_size": 32, "local_epochs": 1}``; they
    assume nothing without. ``game.shadow(3)`` is recorded below the same folder.
    """
    settings = game.env.settings
    told = dict(training or {})
    stated = build(TrainingConfig, {**settings.training.model_dump(), **told}, "record: training")
    if model is not None:
        given = model if isinstance(model, list | tuple) else [model]
        names = tuple(one if isinstance(one, str) else parts.refer(one) for one in given)
        stated = stated.model_copy(update={"model": names[0], "client_models": names if len(names) > 1 else ()})
    bench = workbench(stated, game.env.dataset)
    bench.module(stated.model)
    changed = replace(game.env, settings=replace(settings, training=stated), workbench=bench)
    return recorded(Path(where), replace(game, env=changed), told, fresh)
