"""The conformance suite of a part by its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedprivacy import catalog, parts
from fedprivacy.config.base import UsageError, build, near_miss
from fedprivacy.config.named import Kind
from fedprivacy.config.run import RunConfig
from fedprivacy.data.sources import load
from fedprivacy.recording.payloads import made_known
from fedprivacy.study.conformance import (
    data,
    defense,
    federation,
    model,
    observation,
    payload,
    reconstruction,
    statistic,
)
from fedprivacy.study.conformance.checked import Checked, Look, Report, looked
from fedprivacy.study.conformance.kinds import kind_of
from fedprivacy.study.conformance.tried import tried_defense, tried_observation, tried_protocol

DELTA = 1e-5
CHECKED: tuple[Kind, ...] = (
    "protocol",
    "model",
    "data",
    "defense",
    "statistic",
    "observation",
    "reconstruction",
    "payload",
)
"""Kinds that there is a suite for."""

SETTINGS: Mapping[str, Any] = {
    "clients": 3,
    "rounds": 2,
    "data": {"dataset": "digits", "candidates": 60, "public_size": 20, "auxiliary": 40},
    "training": {"local_epochs": 1},
    "attack": {"surrogate_epochs": 3},
}
"""A small real federation: 8x8 digits, three clients, two rounds."""


def check(
    name: str,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    epsilon: float | None = None,
    **settings: Any,
) -> Report:
    """Look at a part, by name, and tell which properties of its kind it keeps.

    ``kind`` where it cannot be told; ``options`` are the part's own settings and ``epsilon`` a defense's budget;
    ``settings`` change :data:`SETTINGS`, such as the data set or the model that a protocol is tried on. UsageError
    where there is no such part.
    """
    if kind is not None and kind not in CHECKED:
        raise UsageError(f"--kind: no kind '{kind}' exists. {near_miss(kind, CHECKED)}")
    kinds: list[Kind] = [k for k in CHECKED if kind in (None, k) and (parts.outside(name) or name in parts.known(k))]
    if not kinds and (own := catalog.own(name)):
        raise UsageError(
            f"check: '{name}' is fedprivacy's own ({', '.join(own)}), held by its own tests; check looks at a part of "
            "yours, by module:Name, file.py:Name or an entry point."
        )
    if not kinds:
        raise UsageError(f"check: no part '{name}' exists; name module:Name, file.py:Name or an entry point.")
    parts.exists(kinds[0], name, ())
    try:
        part = parts.load(kinds[0], name)
    except UsageError as error:
        return Report(kind or "part", name, (Checked("it can be loaded", "broken", str(error)),))
    found = kinds[0] if kind else kind_of(name, part)
    content = dict(SETTINGS)
    for key, value in settings.items():
        content[key] = {**SETTINGS.get(key, {}), **value} if isinstance(value, Mapping) else value
    config = build(RunConfig, content, "check")
    return Report(found, name, tuple(looked(_looks(found, name, part, config, dict(options or {}), epsilon))))


def _looks(
    kind: Kind, name: str, part: Any, config: RunConfig, options: dict[str, Any], epsilon: float | None
) -> Iterator[tuple[str, Look]]:
    if kind == "statistic":
        return statistic.looks(part)
    if kind == "data":
        return data.looks(name)
    if kind == "model":
        records = load(config.data)
        return model.looks(part, name, records.shape, len(records.classes))
    if kind == "protocol":
        return federation.looks(tried_protocol(name, config, options, 0), tried_protocol(name, config, options, 1))
    if kind == "defense":
        return defense.looks(tried_defense(name, config, options, epsilon), DELTA)
    if kind == "observation":
        made = catalog.observation(name)
        return observation.looks(made, tried_observation(made, config))
    if kind == "reconstruction":
        return reconstruction.looks(part)
    if kind == "payload":
        made_known(name, part)
        return payload.looks(part, lambda: payload.example(part))
    raise UsageError(f"check {name}: there is no suite for a part of kind {kind}; there are {', '.join(CHECKED)}.")
