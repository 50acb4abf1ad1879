"""Writes a federation that runs elsewhere into a folder, round by round: a recording (``docs/recording.md``).

A round is written once it is whole. A process that is killed, or fails, leaves the whole rounds before, and they can be
attacked.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder, lock
from fedprivacy.config.base import UsageError
from fedprivacy.data.coins import Bool
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.wire import Wire
from fedprivacy.recording.files import MODELS, SHADOWS, START, TRANSCRIPT
from fedprivacy.recording.game import RecordedGame, write_coins, write_game
from fedprivacy.recording.transcript import FINISHED, WITH_MODELS, WITH_START
from fedprivacy.wire.log import Log
from fedprivacy.wire.transcript import Message, PublicFold


@contextmanager
def recorded(where: Path, game: Deal, training: Mapping[str, Any], fresh: bool = False) -> Iterator[Wire]:
    """The wire of a recording of ``game`` in the new folder ``where``; a shadow of it goes below ``where/shadows``.

    ``training``: how clients train, as far as an observer may assume it; empty where nobody says. Raises UsageError for
    a folder that is taken, unless ``fresh`` throws away what it holds, and for one that is being recorded.
    """
    with begun(where, game, training, fresh) as place:
        yield from _recorded(place, game)


def _recorded(place: Path, game: Deal) -> Iterator[Wire]:
    log = Log(place / TRANSCRIPT)

    def closed(round: int, messages: Sequence[Message], folds: Sequence[PublicFold]) -> None:
        if wire.start is not None and not (place / START).exists():
            folder.write_arrays(place / START, {name: t.numpy() for name, t in wire.start.items()})
        log.append(round, messages, folds, {WITH_START: wire.start is not None})

    wire = Wire(game, log.contents, None, closed)
    yield wire
    wire.close()
    models = {f"{owner}/{name}": t.numpy() for owner, part in wire.final.items() for name, t in part.items()}
    if models:
        folder.write_arrays(place / MODELS, models)
    log.append(wire.round + 1, [], [], {FINISHED: True, WITH_MODELS: bool(models)})


@contextmanager
def begun(where: Path, game: Deal, training: Mapping[str, Any], fresh: bool) -> Iterator[Path]:
    """The folder of a new recording, with its game and its truth, for one writer. UsageError as :func:`recorded`."""
    place = where if game.number is None else where / SHADOWS / f"{game.number:04d}"
    try:
        with lock.held(lock.beside(place)):
            _begin(place, game, training, fresh)
            yield place
    except lock.Held as error:
        raise UsageError(f"record: {place} is being recorded by {error}; name another folder.") from None


def _begin(place: Path, game: Deal, training: Mapping[str, Any], fresh: bool) -> None:
    if place.exists() and any(place.iterdir()):
        if not fresh:
            raise UsageError(f"record: {place} is not empty; name another folder, or say fresh=True to throw it away.")
        if not (place / TRANSCRIPT).exists():
            raise UsageError(f"record: {place} holds no recording, so nothing in it is thrown away.")
        shutil.rmtree(place)
    if game.number is None:
        write_game(place, game_of(game, training), coins_of(game))
    else:
        write_coins(place, coins_of(game))


def game_of(game: Deal, training: Mapping[str, Any]) -> RecordedGame:
    """What everybody may know of ``game``."""
    env = game.env
    settings = env.settings
    names = settings.training.client_models or (settings.training.model,)
    return RecordedGame(
        env.dataset,
        env.division,
        env.rounds,
        settings.data.inclusion,
        names,
        settings.training.output,
        training,
        game.coins,
    )


def coins_of(game: Deal) -> list[Bool]:
    """The truth: which candidates of each pool the client trains on."""
    env = game.env
    return [np.isin(env.division.pool(k), np.concatenate(env.members[k])) for k in range(env.clients)]
