"""Which settings of a run name a part: what :mod:`fedprivacy.parts` may have to look for. No torch in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fedprivacy.config.run import RunConfig

Kind = Literal[
    "protocol", "model", "data", "defense", "statistic", "observation", "reconstruction", "payload", "mechanism"
]
PARTS: Mapping[str, Kind] = {
    "protocol": "protocol",
    "training.model": "model",
    "training.client_models": "model",
    "data.dataset": "data",
    "defense.name": "defense",
    "attack.statistics": "statistic",
    "attack.headline": "statistic",
    "attack.observations": "observation",
    "attack.inversion.methods": "reconstruction",
    "attack.payloads": "payload",
}
"""Dotted path of each setting that names a part, or several, and the kind of the part."""


def named(config: RunConfig) -> list[tuple[Kind, str]]:
    """(kind, name) of every part that a configuration names, in the order of :data:`PARTS`."""
    found: list[tuple[Kind, str]] = []
    for path, kind in PARTS.items():
        value: object = config
        for step in path.split("."):
            value = getattr(value, step)
        names = value if isinstance(value, tuple) else () if value is None else (value,)
        found += [(kind, str(name)) for name in names]
    return found
