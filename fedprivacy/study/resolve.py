"""A configuration resolved once: what crosses the wire, who watches it, what it is compared with. No torch, no data.

Every usage error that needs neither is raised here. What reads data or trains is made by the methods, when it is
needed. A job in another process resolves the same configuration again from its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from fedprivacy import catalog, parts
from fedprivacy.adversary.inversion import Source as InversionSource
from fedprivacy.adversary.labels import Source as LabelSource
from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Adversary
from fedprivacy.config.named import named
from fedprivacy.config.run import RunConfig

if TYPE_CHECKING:
    from fedprivacy.federation.environment import Environment
    from fedprivacy.federation.interfaces import Defense, FederatedProtocol


@dataclass(frozen=True)
class Yardstick:
    """A run that utility is compared with, and what it shows."""

    config: RunConfig
    why: str


@dataclass(frozen=True, eq=False)
class Study:
    """What one configuration asks for.

    ``observations``: each adversary with every membership observation that it makes; ``label_seats`` and
    ``inversion_seats``: each adversary with what it reads; ``theft_seats``: those that copy models.
    ``baselines``: by name, in the order in which they are told.
    """

    config: RunConfig
    wire: Wire
    observations: tuple[tuple[Adversary, str], ...]
    label_seats: tuple[tuple[Adversary, LabelSource], ...]
    inversion_seats: tuple[tuple[Adversary, InversionSource], ...]
    theft_seats: tuple[Adversary, ...]
    baselines: Mapping[str, Yardstick]
    public_passes: int
    """Passes over a public fold in one round, of all parties together, as far as the protocol's settings say."""

    def protocol(self) -> FederatedProtocol:
        """The protocol with its settings."""
        return catalog.protocol(self.config)

    def defense(self, env: Environment) -> Defense | None:
        """The defense with its noise calibrated to ``env``; None for none. UsageError where it cannot act there."""
        return catalog.defense(self.config, env)


def resolve(config: RunConfig) -> Study:
    """The study of ``config``. UsageError for everything that can be found wrong without torch or data."""
    return _resolved(config.model_dump_json(), parts.fingerprint(named(config)))


@lru_cache(maxsize=32)
def _resolved(text: str, code: str) -> Study:
    """``code``: what stands behind the names that come from outside, so that edited code is resolved anew."""
    config = RunConfig.model_validate_json(text)
    catalog.check(config)
    wire, options = catalog.wire(config), catalog.options(config)
    return Study(
        config,
        wire,
        tuple(catalog.observations(config)),
        tuple(catalog.label_seats(config)),
        tuple(catalog.inversion_seats(config)),
        tuple(catalog.theft_seats(config)),
        MappingProxyType({} if wire.silent else _baselines(config, options)),
        sum(int(getattr(options, name, 0)) for name in PUBLIC_PASSES),
    )


PUBLIC_PASSES = ("public_epochs", "distill_epochs", "digest_epochs", "server_epochs")


def _baselines(config: RunConfig, options: object) -> dict[str, Yardstick]:
    """No exchange, and no exchange with the same public labels."""
    bare = config.model_copy(update={"attack": type(config.attack)(), "defense": type(config.defense)()})
    alone = catalog.lower_bound()
    plain = bare.model_copy(update={"protocol": alone, "options": {}})
    found = {alone: Yardstick(plain, "no exchange, same private data")}
    if getattr(options, "public_labels", False):
        asked = {"public_labels": True, "public_epochs": getattr(options, "public_epochs", 1)}
        labelled = bare.model_copy(update={"protocol": alone, "options": asked})
        found[f"{alone} + public labels"] = Yardstick(labelled, "no exchange, same private and public labels")
    return found
