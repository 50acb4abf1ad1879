"""A defense from outside the package: ``outgoing(payload, sender, round)`` is the least.

Its settings are the arguments that make it. A class with ``build(options, budget, env, releases)`` calibrates noise,
so it may be given an epsilon; ``events(env, releases)`` says what each release costs, and without it nothing is
proven. ``defended`` says what it does to releases as far as their receivers know
(:class:`fedprivacy.wire.release.Defended`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.config.defenses import Budget
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.release import Release


def built(
    name: str, options: Mapping[str, Any], budget: Budget, env: Environment, releases: Sequence[Release]
) -> Defense:
    """The defense of that name. UsageError in one line where it cannot be made, or does not act on messages."""
    part = parts.load("defense", name)
    if isinstance(part, type) and not hasattr(part, "build"):
        filled = {word: method for word, method in _FILLED.items() if not hasattr(part, word)}
        part = type(part.__name__, (part,), filled) if filled else part
    try:
        found = part.build(dict(options), budget, env, releases) if hasattr(part, "build") else part(**options)
    except UsageError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split())
        raise UsageError(f"defense {name}: making it failed: {type(error).__name__}: {cause}.") from error
    missing = [word for word in ("outgoing", "check", "events") if not hasattr(found, word)]
    if missing:
        raise UsageError(f"defense {name}: it has no {', '.join(missing)}.")
    return cast("Defense", found)


def _no_check(self: Any, env: Environment, releases: Sequence[Release]) -> None:
    """A defense that acts on whatever is sent."""


def _no_events(self: Any, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
    """A defense that proves nothing."""
    return ()


_FILLED = {"check": _no_check, "events": _no_events}
