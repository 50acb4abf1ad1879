"""Small federations under a defense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import FederatedProtocol, releases_of
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.release import Release


@dataclass(frozen=True, eq=False)
class Guarded:
    """A protocol on a small environment, with its defense."""

    protocol: FederatedProtocol
    env: Environment
    releases: tuple[Release, ...]
    defense: Any

    def run(self, where: Path) -> engine.Federation:
        return engine.run(self.protocol, self.env, where, self.defense)


@pytest.fixture
def guarded(small_config: Callable[..., RunConfig]) -> Callable[..., Guarded]:
    """Builds (protocol, its options, defense settings, other changes) into a :class:`Guarded`."""

    def made(
        protocol: str, options: dict[str, Any] | None = None, defense: dict[str, Any] | None = None, **more: Any
    ) -> Guarded:
        config = small_config(protocol=protocol, options=options or {}, defense=defense or {}, **more)
        env, _ = resolve(config).environment(config.seed)
        found = resolve(config).protocol
        releases = tuple(releases_of(found, env))
        chosen = resolve(config).defense(env)
        return Guarded(found, env, releases, chosen)

    return made
