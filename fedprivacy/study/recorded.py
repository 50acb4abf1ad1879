"""A recording as a configuration and a game, so that it is attacked like any run; the truth is opened here alone.

A recorded federation is a protocol that replays (``federation.own.recorded``). Its name, and that of its records, is
``recording:`` and the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import parts
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.config.run import RunConfig, TrainingConfig
from fedprivacy.data.canaries import canaries
from fedprivacy.data.coins import Bool
from fedprivacy.data.records import Division
from fedprivacy.federation.bench import workbench
from fedprivacy.federation.own.recorded import RecordedFederation
from fedprivacy.models.names import MODELS
from fedprivacy.recording import payloads
from fedprivacy.recording.files import SHADOWS
from fedprivacy.recording.game import read_coins, read_game
from fedprivacy.study.game import Game
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Update, Weights


def folder_of(name: str) -> Path | None:
    """The folder of the recording that a protocol or a data set of this name is of; None where it is of none."""
    return Path(name.removeprefix(parts.RECORDING)) if name.startswith(parts.RECORDING) else None


def played(where: Path, guessed: CanaryConfig, root: int, shadow: int | None) -> Game:
    """Who holds what, and the coins: the recorded truth, or those of a recorded shadow federation."""
    game = read_game(where)
    coins = coins_of(where, game.division, shadow)
    return Game(game.dataset, game.division, coins, canaries(game.division, guessed, root))


def coins_of(where: Path, division: Division, shadow: int | None) -> tuple[Bool, ...]:
    """The coins of the target, or of a shadow federation."""
    return read_coins(RecordedFederation(where, shadow).place, division)


def shadows_of(where: Path) -> int:
    """How many shadow federations were recorded and finished: numbers 0, 1, ... without a gap."""
    number = 0
    while (where / SHADOWS / f"{number:04d}" / "transcript" / "log.jsonl").exists():
        if not RecordedFederation(where, number).read[1]:
            break
        number += 1
    return number


def configuration(where: Path, attack: Mapping[str, Any], models: Sequence[str] = ()) -> RunConfig:
    """The configuration that attacks the recording in ``where``: its whole rounds, and its shadows as references.

    ``models``: architectures by name; those that the recording names are used only where they are fedprivacy's own or
    were handed over in this session, for a recording never loads code by itself. Raises UsageError.
    """
    payloads.known(attack.get("payloads", ()))
    recording = RecordedFederation(where.resolve())
    game, (transcript, _) = recording.game, recording.read
    names = tuple(models) or game.models
    strange = [name for name in names if name not in MODELS and not models]
    if strange := parts.from_elsewhere([("model", name) for name in strange]):
        raise UsageError(
            f"{where} was recorded with the model {strange[0]}, which is code from outside; name it, by --model "
            "or model=, "
            "if it is to run with your rights."
        )
    if models:
        _fitting(where, recording, names)
    rounds = max(transcript.rounds())
    name = f"{parts.RECORDING}{where.resolve()}"
    public = game.division.public
    training = {**game.training, "model": names[0], "output": game.output}
    shadows = attack.get("shadows", shadows_of(where))
    content = {
        "protocol": name,
        "clients": game.clients,
        "rounds": rounds,
        "data": {
            "dataset": name,
            "candidates": max(len(game.division.pool(client)) for client in range(game.clients)),
            "inclusion": game.inclusion,
            "public_size": len(public[0]),
            "public_set": "static" if all(np.array_equal(fold, public[0]) for fold in public) else "dynamic",
            "auxiliary": len(game.division.auxiliary),
        },
        "training": {**training, "client_models": names if len(names) > 1 else ()},
        "attack": {"attacks": ("membership",), **attack, "shadows": shadows},
        "canaries": {"coins": game.coins},
    }
    return build(RunConfig, content, f"recording {where}")


def _fitting(where: Path, recording: RecordedFederation, names: Sequence[str]) -> None:
    """UsageError where the first model that a client sent is none of the architectures ``names``."""
    game, (transcript, _) = recording.game, recording.read
    first = next((m for m in transcript.messages if m.sender != SERVER and m.kind in (Weights.kind, Update.kind)), None)
    if first is None:
        return
    sent = transcript.payload(first)
    assert isinstance(sent, Weights | Update)
    if not sent.tensors:
        raise UsageError(f"{where}: {first.sender} sent a model without a single weight in round {first.round}.")
    bench = workbench(build(TrainingConfig, {"model": names[0], "output": game.output}, "training"), game.dataset)
    wrong = []
    for name in names:
        has = bench.module(name).state_dict()
        differ = [key for key, t in sent.tensors.items() if key not in has or has[key].shape != t.shape]
        if not differ:
            return
        key = differ[0]
        own = f"{key} {list(has[key].shape)}" if key in has else f"no {key}"
        wrong.append(f"{name} has {own}")
    raise UsageError(
        f"{where}: {first.sender} sent {key} {list(sent.tensors[key].shape)} in round {first.round}, and "
        f"{', '.join(wrong)}; name the model that was trained."
    )
