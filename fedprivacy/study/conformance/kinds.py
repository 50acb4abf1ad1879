"""Which kind of part something is, told from what it offers."""

from __future__ import annotations

import inspect
from typing import Any

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.config.named import Kind

OFFERS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("statistic", ("score", "needs")),
    ("observation", ("observe",)),
    ("protocol", ("init", "round", "models")),
    ("defense", ("outgoing",)),
    ("model", ("forward", "state_dict")),
    ("data", ("__getitem__", "__len__")),
    ("payload", ("kind", "__dataclass_fields__")),
)
"""A class or object with these attributes is a part of that kind."""

ARGUMENTS: dict[tuple[str, ...], Kind] = {
    ("game", "wire"): "protocol",
    ("shape", "outputs"): "model",
    (): "data",
    ("model", "parameters", "observed", "knowledge", "labels", "generator"): "reconstruction",
}
"""A function of these arguments is a part of that kind."""


def kind_of(name: str, part: Any) -> Kind:
    """The kind of a part. UsageError where it cannot be told, and has to be said."""
    installed = [kind for kind in parts.KINDS if not parts.outside(name) and name in parts.known(kind)]
    if len(installed) == 1:
        return installed[0]
    for kind, offered in OFFERS:
        if all(hasattr(part, word) for word in offered):
            return kind
    if callable(part) and not isinstance(part, type):
        found = ARGUMENTS.get(tuple(inspect.signature(part).parameters))
        if found is not None:
            return found
        if len(inspect.signature(part).parameters) == 2 and "wire" in inspect.signature(part).parameters:
            return "protocol"
    raise UsageError(f"check {name}: its kind cannot be told; say it with --kind, one of {', '.join(parts.KINDS)}.")
