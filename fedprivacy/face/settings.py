"""Keywords of Python to the configuration of a run: the flags of the command line, with ``_`` for ``-``.

``run("fedavg", local_epochs=1, dataset="digits")`` is ``fedprivacy run --protocol fedavg --local-epochs 1 --dataset
digits``. Where a part is named, a live class or function may stand; it travels by :func:`fedprivacy.parts.refer`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder, parts
from fedprivacy.adversary.position import Adversary
from fedprivacy.cli.settings import configuration, fields_of, flag_of, kinds_of
from fedprivacy.config.base import NONE, UsageError, near_miss
from fedprivacy.config.named import PARTS, named
from fedprivacy.config.run import RunConfig
from fedprivacy.data.outside import arrays_of, is_table


def keywords() -> dict[str, str]:
    """Keyword -> dotted path of the setting: its flag without dashes, or its plain name where that is no other's."""
    found = {flag_of(path)[2:].replace("-", "_"): path for path in fields_of()}
    for path in fields_of():
        found.setdefault(path.rpartition(".")[2], path)
    return found


def configured(settings: Mapping[str, Any], out: Path, base: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration of keyword ``settings``. UsageError with a near miss for a keyword that does not exist.

    ``options`` and ``defense_options`` are the settings of the protocol and of the defense. ``data`` is what
    :mod:`fedprivacy.data.outside` reads, with ``label`` the class of a data frame; arrays are written below ``out``
    once. ``config``: a TOML file, flags win. ``None`` is none where a setting may be that, else its default.
    """
    known, fields = keywords(), fields_of()
    label = settings.get("label") if is_table(settings.get("data")) else None
    content: dict[str, Any] = {name: _copied(value) for name, value in (base or {}).items()}
    given: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "options":
            content.setdefault("options", {}).update(value)
        elif name == "defense_options":
            content.setdefault("defense", {}).setdefault("options", {}).update(value)
        elif name == "data":
            given |= _data(value, out, label)
        elif name == "label" and label is not None:
            continue
        elif name == "config":
            given["config"] = str(value)
        elif name not in known:
            raise UsageError(f"No setting '{name}' exists. {near_miss(name, {*known, 'data', 'options'})}")
        elif value is not None or type(None) in kinds_of(fields[known[name]].annotation):
            path = known[name]
            given[path.replace(".", "__")] = _value(value, path)
    return configuration(given, content)


def check_workers(config: RunConfig, workers: int) -> None:
    """Raise UsageError where a part lives in this process alone and others are to load it."""
    here = [name for _, name in named(config) if parts.only_here(name)]
    if here and workers > 1:
        raise UsageError(
            f"{parts.title(here[0])} lives in this Python session alone, so it needs workers=1; what a module or a "
            "script defines at its top level can be loaded by worker processes."
        )


def _value(value: Any, path: str) -> Any:
    """A value as the command line has it: text stays text, for whoever reads flags."""
    if path in PARTS and value is not None:
        several = value if isinstance(value, list | tuple) else [value]
        return ",".join(one if isinstance(one, str) else parts.refer(one) for one in several)
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else _plain(value)


def _plain(value: Any) -> Any:
    """What settings are written down as, of the objects that stand for it."""
    if isinstance(value, Adversary):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    return NONE if value is None else str(value) if isinstance(value, Path) else value


def _data(value: Any, out: Path, label: str | None) -> dict[str, Any]:
    if isinstance(value, str):
        return {"data__dataset": value}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"data__dataset": parts.refer(value)}
    return {"data__dataset": "npz", "data__data_dir": str(_stored(value, out, label))}


def _stored(value: Any, out: Path, label: str | None) -> Path:
    """Arrays in a ``.npz`` file named by their content, so that worker processes read the same."""
    arrays = arrays_of(value, "given", label)
    texts = [f"{n} {a.dtype} {a.shape}".encode() + np.ascontiguousarray(a).tobytes() for n, a in arrays.items()]
    path = out / "data" / f"{parts.digest(texts)}.npz"
    if not path.exists():
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        folder.write_bytes(path, buffer.getvalue())
    return path


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, Mapping) else value
