"""A protocol from outside the package: a class as inside or an instance of one, a function ``federate(game, wire)``,
or a recording.

A class needs ``releases(federation)``, ``init``, ``round`` and ``models``
(``federation.interfaces.FederatedProtocol``); its settings are the arguments that make it, best the fields of a frozen
dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Any, cast

from fedprivacy import parts
from fedprivacy.adversary.sight import Played
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.federation.course import TellsCourse
from fedprivacy.federation.interfaces import DeclaresReleases, FederatedProtocol
from fedprivacy.federation.local_training import TrainsLocally
from fedprivacy.federation.own.protocol import OwnFederation
from fedprivacy.federation.own.recorded import RecordedFederation
from fedprivacy.wire.release import MODELS, Release

NEEDED = ("releases", "init", "round", "models")


def made(name: str, options: Mapping[str, Any]) -> FederatedProtocol:
    """The protocol of that name with its settings. UsageError in one line where it cannot be made, or lacks a part."""
    if name.startswith(parts.RECORDING):
        if options:
            raise UsageError(f"protocol {name}: a recording has no settings.")
        return _recorded(name.removeprefix(parts.RECORDING), parts.fingerprint([("protocol", name)]))
    frozen = tuple(sorted((key, _frozen(value)) for key, value in options.items()))
    return _made(name, frozen)


@functools.lru_cache(maxsize=32)
def _made(name: str, frozen: tuple[tuple[str, Hashable], ...]) -> FederatedProtocol:
    part, options = parts.load("protocol", name), dict(frozen)
    if isinstance(part, FederatedProtocol) and not isinstance(part, type):
        return _as_it_is(name, part, options)
    if not callable(part):
        raise UsageError(
            f"protocol {name}: it is a {type(part).__name__}; expected a class, an instance of one, or a function."
        )
    _check_options(name, part, options, own=not isinstance(part, type))
    if not isinstance(part, type):
        return OwnFederation(functools.partial(part, **options) if options else part, name)
    missing = [word for word in NEEDED if not hasattr(part, word)]
    if missing:
        raise UsageError(
            f"protocol {name}: it has no {', '.join(missing)}; see federation.interfaces.FederatedProtocol."
        )
    if not hasattr(part, "check"):
        part = type(part.__name__, (part,), {"check": _no_check})
    try:
        return cast("FederatedProtocol", part(**options))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"protocol {name}: making it failed: {type(error).__name__}: {error}.") from error


def _as_it_is(name: str, part: FederatedProtocol, options: Mapping[str, Any]) -> FederatedProtocol:
    """A protocol that was made already; its settings are its own."""
    if options:
        raise UsageError(f"protocol {name}: it is an instance, made with its settings; give it no others.")
    if not any(isinstance(one, DeclaresReleases) for one in (part, getattr(part, "options", None))):
        raise UsageError(f"protocol {name}: it has no releases; see federation.interfaces.FederatedProtocol.")
    return part


@functools.lru_cache(maxsize=4)
def _recorded(where: str, written: str) -> FederatedProtocol:
    """The recording as far as it is ``written``, checked once."""
    return RecordedFederation(Path(where))


def _no_check(self: Any, env: Any) -> None:
    """A protocol that refuses nothing."""


def _check_options(name: str, part: Any, options: Mapping[str, Any], own: bool) -> None:
    """Raise UsageError for a setting that ``part`` does not take, or does not get."""
    takes = list(inspect.signature(part).parameters.values())[2 if own else 0 :]
    if any(p.kind is p.VAR_KEYWORD for p in takes):
        return
    known = [p.name for p in takes if p.kind is not p.VAR_POSITIONAL]
    for key in options:
        if key not in known:
            hint = near_miss(key, known) if known else "It has none."
            raise UsageError(f"protocol {name}: no setting '{key}' exists. {hint}")
    lacking = [
        p.name for p in takes if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and p.name not in options
    ]
    if lacking:
        raise UsageError(f"protocol {name}: it needs a value for {', '.join(lacking)}; give it by --set NAME=VALUE.")


def _frozen(value: Any) -> Hashable:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def played(protocol: FederatedProtocol, releases: Collection[Release]) -> tuple[Played, ...]:
    """What everybody knows well enough of its clients to play them: what the protocol has methods for, and follows."""
    known = any(r.sender == "client" and r.reads in MODELS and r.loss != "more" and r.steps_known for r in releases)
    found: list[Played] = []
    coursed = isinstance(protocol, TellsCourse) and any(r.by_course for r in releases)
    if coursed or (isinstance(protocol, TrainsLocally) and (known or not isinstance(protocol, OwnFederation))):
        found.append("training")
    if isinstance(protocol, TellsCourse):
        found.append("answers")
    return tuple(found)
