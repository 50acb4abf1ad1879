"""Scores or logits of models trained elsewhere, in one .npz file; nothing in it is unpickled.

Three layouts, n records, C classes. Logits may have any constant a row; probabilities go by ``probs``, their
logarithms by ``log_probs`` in the place of ``logits``, as in ``target_probs``:

``scores``
    ``member`` [n] (1: the model was trained on the record), and ``scores`` [n] or any number of ``scores_NAME`` [n];
    higher says member.
``one target``
    ``member`` [n], ``labels`` [n], ``target_logits`` [n, C]; with references ``shadow_logits`` [S, n, C] and
    ``shadow_member`` [S, n]. Records that no model was trained on, for statistics that use them: ``population_labels``
    [M], ``population_target_logits`` [M, C], ``population_shadow_logits`` [S, M, C].
``bank``
    ``member`` [F, n], ``labels`` [n], ``logits`` [F, n, C], optionally ``population_labels`` [M] and
    ``population_logits`` [F, M, C]: every model is a target, all others its references.

The first two may hold ``client`` [n], the number of the client that each record belongs to: scores are ranked within
a client, since those of different models share no scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy.adversary.threat import Bool, Float, Int
from fedprivacy.config.base import UsageError
from fedprivacy.data.plain_arrays import plain_arrays

Array = NDArray[Any]


OTHER_NAMES = {
    "member": ("members", "is_member", "membership", "memberships", "in_out", "mem", "in", "member_labels", "y_member"),
    "scores": ("score", "mia_scores", "attack_scores", "predictions", "signal", "signals"),
    "labels": ("label", "y", "targets", "target_labels"),
    "target_logits": ("target_outputs", "logits_target"),
    "shadow_logits": ("shadow_outputs", "logits_shadow", "reference_logits", "ref_logits"),
    "shadow_member": ("shadow_members", "shadow_membership", "in_indices", "keep", "reference_member"),
}
"""What other tools call the arrays."""

LOSSES = ("loss", "losses", "nll", "cross_entropy", "target_loss", "target_losses")


@dataclass(frozen=True, eq=False)
class Bank:
    """Models that are targets and references of each other; ``targets`` are those that are judged.

    ``logits`` [F, n, C], float32 where the file has them so; ``member`` [F, n], ``labels`` [n]; ``population_logits``
    [F, M, C] and its labels, or None.
    """

    logits: Float
    member: Bool
    labels: Int
    targets: int
    population_logits: Float | None = None
    population_labels: Int | None = None


@dataclass(frozen=True, eq=False)
class ScoresFile:
    """What a file holds: ``scores`` by name, or a ``bank``. ``clients`` [n]: whose record; all 0 if unsaid."""

    name: str
    digest: str
    member: Bool
    clients: Int
    scores: Mapping[str, Float]
    bank: Bank | None


def read_scores(path: Path) -> ScoresFile:
    """Read and check ``path``. Raises UsageError in one line: what is wrong, and what would be right."""
    arrays = _arrays(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _told_of_names(arrays, path)
    if "member" not in arrays:
        raise UsageError(f"{path} has no member flags (it has {', '.join(arrays) or 'nothing'}); expected member.")
    member = _flags(arrays["member"], path, "member")
    scores = {
        name.removeprefix("scores_") if name != "scores" else "scores": _numbers(arrays[name], path, name, (None,))
        for name in arrays
        if name == "scores" or name.startswith("scores_")
    }
    bank = None if scores else _bank(arrays, member, path)
    n = member.shape[-1]
    if scores and member.ndim != 1:
        raise UsageError(f"{path}: member has shape {member.shape}; with scores it is one flag a record, [n].")
    for name, values in scores.items():
        if len(values) != n:
            raise UsageError(f"{path}: {len(values)} scores '{name}' for {n} member flags; both need one a record.")
    flags = member if member.ndim == 1 else member[0]
    if flags.all() or not flags.any():
        raise UsageError(f"{path}: member says that all {n} records are on one side; both are needed.")
    return ScoresFile(path.name, digest, member, _clients(arrays, n, path), scores, bank)


def _arrays(path: Path) -> dict[str, Array]:
    if not path.exists():
        raise UsageError(f"--scores: there is no file at {path}.")
    return plain_arrays(path, "member flags with scores or logits")


def _told_of_names(arrays: Mapping[str, Array], path: Path) -> None:
    """Raise UsageError where a needed array is there under another tool's name, or a loss stands for a score."""
    for right, others in OTHER_NAMES.items():
        found = [name for name in arrays if name.lower() in others]
        if right not in arrays and found:
            raise UsageError(f"{path}: {found[0]} is called {right} here; save it under that name.")
    losses = [name for name in arrays if name.lower() in LOSSES]
    if losses and not any(name == "scores" or name.startswith("scores_") for name in arrays):
        raise UsageError(f"{path}: a low {losses[0]} says member, a high score does: negate it, scores = -{losses[0]}.")


def _flags(values: Array, path: Path, name: str) -> Bool:
    if values.ndim not in (1, 2) or not values.size or values.dtype.kind not in "biuf":
        raise UsageError(f"{path}: {name} has shape {values.shape}; expected flags [n] or [models, n].")
    if not np.isin(values, (0, 1)).all():
        raise UsageError(f"{path}: {name} holds other values than 0 and 1.")
    return values.astype(np.bool_)


def _numbers(
    values: Array, path: Path, name: str, shape: tuple[int | None, ...], as_stored: bool = False
) -> NDArray[Any]:
    """Finite numbers of a shape, None for any size; in float64, or ``as_stored`` where the file has float32."""
    fits = values.ndim == len(shape) and all(a in (None, b) for a, b in zip(shape, values.shape, strict=True))
    if not fits or values.dtype.kind not in "iuf":
        wanted = "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
        raise UsageError(f"{path}: {name} is {values.dtype} {list(values.shape)}; expected numbers {wanted}.")
    numbers = values if as_stored and values.dtype == np.float32 else values.astype(np.float64)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise UsageError(f"{path}: {bad} of {numbers.size} values in {name} are NaN or infinite.")
    return numbers


def _logits(arrays: Mapping[str, Array], name: str, path: Path, shape: tuple[int | None, ...]) -> Float:
    """Logits under ``name``, or the logarithm of probabilities under ``probs`` in the place of ``logits`` in it.

    Probabilities that are called logits would be taken through a softmax twice, and are refused.
    """
    for kind in ("log_probs", "probs"):
        other = name.replace("logits", kind)
        if name in arrays or other not in arrays:
            continue
        values = _numbers(arrays[other], path, other, shape, as_stored=True)
        if kind == "log_probs":
            return values
        if not _are_probabilities(values):
            raise UsageError(f"{path}: rows of {other} are not 0 or more with sum 1; call logits {name}.")
        return np.asarray(np.log(np.maximum(values, np.finfo(np.float64).tiny, dtype=np.float64)))
    values = _numbers(_needed(arrays, name, path), path, name, shape, as_stored=True)
    if _are_probabilities(values):
        other = name.replace("logits", "probs")
        raise UsageError(f"{path}: rows of {name} are probabilities (0 or more, with sum 1); call them {other}.")
    return values


def _are_probabilities(values: Float) -> bool:
    return bool(values.size and values.min() >= 0 and np.abs(values.sum(axis=-1) - 1).max() < 1e-3)


def _has(arrays: Mapping[str, Array], name: str) -> bool:
    """Whether there are such logits, under this name or that of their probabilities."""
    return any(name.replace("logits", kind) in arrays for kind in ("logits", "probs", "log_probs"))


def _labels(values: Array, path: Path, name: str, n: int, classes: int) -> Int:
    numbers = _numbers(values, path, name, (n,))
    if (numbers % 1 != 0).any() or numbers.min(initial=0) < 0 or numbers.max(initial=0) >= classes:
        raise UsageError(f"{path}: {name} must be class numbers from 0 to {classes - 1}, as the logits have columns.")
    return numbers.astype(np.int64)


def _bank(arrays: Mapping[str, Array], member: Bool, path: Path) -> Bank:
    every = _has(arrays, "logits")
    if not every and not _has(arrays, "target_logits"):
        raise UsageError(
            f"{path} has member flags, but neither scores nor logits (it has {', '.join(arrays)}); expected scores, "
            "or target_logits with labels, or logits with labels."
        )
    if every and member.ndim != 2:
        raise UsageError(f"{path}: member has shape {member.shape}; with logits it is [models, n].")
    if not every and member.ndim != 1:
        raise UsageError(f"{path}: member has shape {member.shape}; with target_logits it is [n].")
    n = member.shape[-1]
    if every:
        logits = _logits(arrays, "logits", path, (len(member), n, None))
        targets = len(logits)
    else:
        logits = _logits(arrays, "target_logits", path, (n, None))[None]
        targets = 1
        if _has(arrays, "shadow_logits"):
            shadows = _logits(arrays, "shadow_logits", path, (None, n, logits.shape[2]))
            flags = _flags(_needed(arrays, "shadow_member", path), path, "shadow_member")
            if flags.shape != shadows.shape[:2]:
                raise UsageError(f"{path}: shadow_member is {flags.shape}; shadow_logits need {shadows.shape[:2]}.")
            logits, member = np.concatenate([logits, shadows]), np.concatenate([member[None], flags])
        else:
            member = member[None]
    if logits.shape[2] < 2:
        raise UsageError(f"{path}: logits need two columns or more; write one sigmoid logit z as (0, z).")
    labels = _labels(_needed(arrays, "labels", path), path, "labels", n, logits.shape[2])
    population, population_labels = _population(arrays, every, logits, path)
    return Bank(logits, member, labels, targets, population, population_labels)


def _population(arrays: Mapping[str, Array], every: bool, logits: Float, path: Path) -> tuple[Float | None, Int | None]:
    if "population_labels" not in arrays:
        return None, None
    m, classes = arrays["population_labels"].size, logits.shape[2]
    labels = _labels(arrays["population_labels"], path, "population_labels", m, classes)
    if every:
        name = "population_logits"
        return _logits(arrays, name, path, (len(logits), m, classes)), labels
    name = "population_target_logits"
    parts = [_logits(arrays, name, path, (m, classes))[None]]
    if len(logits) > 1:
        name = "population_shadow_logits"
        parts.append(_logits(arrays, name, path, (len(logits) - 1, m, classes)))
    return np.concatenate(parts), labels


def _needed(arrays: Mapping[str, Array], name: str, path: Path) -> Array:
    if name not in arrays:
        raise UsageError(f"{path} has no {name} (it has {', '.join(arrays)}).")
    return arrays[name]


def _clients(arrays: Mapping[str, Array], n: int, path: Path) -> Int:
    if "client" not in arrays:
        return np.zeros(n, dtype=np.int64)
    values = arrays["client"]
    if values.shape != (n,) or values.dtype.kind not in "iu" or values.min(initial=0) < 0:
        raise UsageError(f"{path}: client is {values.dtype} {list(values.shape)}; expected a client number a record.")
    return values.astype(np.int64)
