"""The game of a recording: who holds which candidates, what is public, and, apart, the coins.

Nothing read is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.canaries import Coins
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.recording.carrier import carried
from fedprivacy.recording.files import COINS, FORMAT, GAME, RECORDS, entry, one_line

Bool = NDArray[np.bool_]
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class RecordedGame:
    """What everybody may know, so no seed that coins were drawn from.

    ``models``: architectures of the clients in turn, by name. ``training``: how clients train, as far as an observer
    may assume it; empty where nobody said.
    """

    dataset: Dataset
    division: Division
    rounds: int
    inclusion: float
    models: tuple[str, ...]
    output: str
    training: Mapping[str, Any]
    coins: Coins = "record"
    """What one coin decides."""

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.division.candidates)


def write_game(where: Path, game: RecordedGame, coins: Sequence[Bool]) -> None:
    """Write the game and, apart, its truth: ``coins`` [candidates] of each client in the order of its pool."""
    data, division = game.dataset, game.division
    folder.write_arrays(where / RECORDS, {name: np.asarray(getattr(data, name)) for name in ARRAYS})
    write_coins(where, coins)
    content = {
        "format": FORMAT,
        "name": data.name,
        "classes": list(data.classes),
        "digest": data.digest,
        "notes": list(data.notes),
        "clients": game.clients,
        "rounds": game.rounds,
        "inclusion": game.inclusion,
        "coins": game.coins,
        "models": list(game.models),
        "output": game.output,
        "training": dict(game.training),
        "candidates": [[fold.tolist() for fold in folds] for folds in division.candidates],
        "public": [fold.tolist() for fold in division.public],
        "auxiliary": division.auxiliary.tolist(),
        "warmup": division.warmup.tolist(),
    }
    folder.write_json(where / GAME, content)


def write_coins(where: Path, coins: Sequence[Bool]) -> None:
    """Write the truth alone."""
    folder.write_arrays(where / COINS, {f"client-{k}": np.asarray(c, dtype=np.uint8) for k, c in enumerate(coins)})


def read_game(where: Path) -> RecordedGame:
    """The game in folder ``where``, without its truth. UsageError in one line for anything that cannot be."""
    path = where / GAME
    with one_line():
        content = folder.read_json(path)
    if content.get("format") != FORMAT:
        raise UsageError(f"{path}: its format is {content.get('format')!r}, and this version reads {FORMAT!r}.")
    dataset = _dataset(content, where)
    clients, rounds = (entry(content, name, _counts, "a whole number from 1", path) for name in ("clients", "rounds"))
    n = len(dataset.y_train)

    def folds_fit(value: Any) -> bool:
        return isinstance(value, list) and len(value) in (1, rounds) and all(_are_ids(fold, n) for fold in value)

    def pools_fit(value: Any) -> bool:
        return isinstance(value, list) and len(value) == clients and all(map(folds_fit, value))

    def public_fits(value: Any) -> bool:
        return isinstance(value, list) and len(value) == rounds and all(_are_ids(fold, n) for fold in value)

    ids = f"numbers of the {n} records"
    pools = entry(content, "candidates", pools_fit, f"{ids}, in one fold or one a round, for {clients} clients", path)
    public = entry(content, "public", public_fits, f"{ids}, in one fold a round", path)
    auxiliary, warmup = (entry(content, name, lambda v: _are_ids(v, n), ids, path) for name in ("auxiliary", "warmup"))
    inclusion = entry(content, "inclusion", _is_share, "a probability above 0 and below 1", path)
    models = entry(content, "models", lambda v: bool(v) and _are_words(v), "a list of names", path)
    output = entry(content, "output", lambda v: v in ("softmax", "sigmoid"), "softmax or sigmoid", path)
    content.setdefault("coins", "record")
    decides = entry(content, "coins", lambda v: v in get_args(Coins), f"one of {', '.join(get_args(Coins))}", path)
    training = entry(content, "training", lambda v: isinstance(v, dict), "a table of settings", path)
    division = Division(
        _array(warmup),
        tuple(tuple(map(_array, folds)) for folds in pools),
        tuple((_array([]),) * len(folds) for folds in pools),
        tuple(map(_array, public)),
        _array(auxiliary),
    )
    _apart(division, path)
    return RecordedGame(dataset, division, rounds, inclusion, tuple(models), output, training, decides)


def read_coins(where: Path, division: Division) -> tuple[Bool, ...]:
    """The truth of a recording, for the examiner alone. UsageError where it is missing or does not fit the game."""
    path = where / COINS
    if not path.exists():
        raise UsageError(f"{path} is missing, so nothing can be judged: whoever recorded holds the truth.")
    with one_line():
        arrays, _ = folder.read_arrays(path)
    found = []
    for client in range(len(division.candidates)):
        coins, n = arrays.get(f"client-{client}"), len(division.pool(client))
        if coins is None or coins.shape != (n,) or not np.isin(coins, (0, 1)).all():
            raise UsageError(f"{path}: client-{client} has no {n} coins of 0 or 1.")
        found.append(coins.astype(np.bool_))
    return tuple(found)


def _dataset(content: Mapping[str, Any], where: Path) -> Dataset:
    path = where / RECORDS
    with one_line():
        arrays, _ = folder.read_arrays(path)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise UsageError(f"{path} has no {', '.join(missing)}.")
    classes = entry(dict(content), "classes", lambda v: _are_words(v) and len(v) > 1, "two names or more", where / GAME)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        image = x.dtype == np.uint8 and x.ndim == 4
        if not image and not (x.dtype == np.float32 and x.ndim == 2 and bool(np.isfinite(x).all())):
            raise UsageError(f"{path}: x_{part} is neither uint8 images [N, C, H, W] nor finite float32 rows [N, d].")
        if y.dtype != np.int64 or y.shape != (len(x),) or not ((y >= 0) & (y < len(classes))).all():
            raise UsageError(f"{path}: y_{part} is not one int64 class below {len(classes)} a record.")
        if x.shape[1:] != arrays["x_train"].shape[1:] or not len(x):
            raise UsageError(f"{path}: there are no x_{part}, or training and test records differ in shape.")
    notes = content.get("notes")
    silent = [] if content.get("training") else ["nobody said how the clients trained, so attacks assume nothing of it"]
    notes = [*(notes if isinstance(notes, list) else []), *carried(where), *silent]
    return Dataset(
        name=str(content.get("name", "recording")),
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        classes=tuple(classes),
        digest=str(content.get("digest", "")),
        notes=tuple(map(str, notes)),
    )


def _counts(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 100_000


def _is_share(value: Any) -> bool:
    return type(value) is float and 0 < value < 1


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.isprintable() for word in value)


def _are_ids(value: Any, records: int) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < records for one in value)


def _array(ids: Sequence[int]) -> Ids:
    return np.asarray(ids, dtype=np.int64)


def _apart(division: Division, path: Path) -> None:
    """Raise UsageError where a record has two roles: a non-member trained on elsewhere would be no non-member."""
    public = np.unique(np.concatenate(division.public))
    pools = [division.pool(client) for client in range(len(division.candidates))]
    once, counts = np.unique(np.concatenate([*pools, public, division.auxiliary, division.warmup]), return_counts=True)
    if (counts > 1).any():
        raise UsageError(
            f"{path}: record {int(once[counts > 1][0])} has two roles; candidates, public, auxiliary and warm-up "
            "records are apart."
        )
