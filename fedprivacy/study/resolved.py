"""A study: what one configuration asks for, with everything that carries it out. Importing this costs no torch.

What reads data or imports torch is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedprivacy import catalog
from fedprivacy.adversary.sight import Wire
from fedprivacy.config.base import UsageError
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.study.seats import Seats

if TYPE_CHECKING:
    from fedprivacy.adversary.threat import Bool
    from fedprivacy.data.records import Dataset, Division
    from fedprivacy.federation.environment import Environment
    from fedprivacy.federation.interfaces import Defense, FederatedProtocol
    from fedprivacy.federation.knowledge import Observation
    from fedprivacy.study.game import Game


@dataclass(frozen=True)
class Yardstick:
    """A run that utility is compared with, and what it shows."""

    config: RunConfig
    why: str


@dataclass(frozen=True, eq=False)
class Study:
    """What is run, who watches it, and what it is compared with.

    ``config`` is what was asked for, as a whole: it names folders, travels to jobs, and is written down. Who carries
    the study out reads the settings of its own part instead (:attr:`federation`, :attr:`attack`, :attr:`canaries`).
    """

    config: RunConfig
    code: str
    """What stands behind the names that come from outside (:func:`fedprivacy.parts.fingerprint`); empty without any."""
    wire: Wire
    """What crosses the wire, as declared."""
    seats: Seats
    """Who attacks, and from what."""
    baselines: Mapping[str, Yardstick]
    """By name, in the order in which they are told."""
    public_passes: int
    """Passes over a public fold in one round, of all parties together, as far as the protocol's settings say."""

    @property
    def named_batches(self) -> bool:
        """Whether local training draws its batches by the named seeds of ours, as a part from outside need not."""
        sent = self.wire.model
        return not catalog.from_outside(self.wire.protocol) or (sent is not None and sent.named_batches)

    @property
    def federation(self) -> FederationSettings:
        """What everybody in the federation knows of it."""
        return self.wire.federation

    @property
    def attack(self) -> AttackConfig:
        """What is attacked, with what, and how the answer is scored."""
        return self.config.attack

    @property
    def canaries(self) -> CanaryConfig:
        """What is guessed in an audit."""
        return self.config.canaries

    @property
    def delta(self) -> float:
        """Delta of every claim."""
        return self.config.defense.delta

    @property
    def roots(self) -> tuple[int, ...]:
        """Root seed of each repetition."""
        return tuple(range(self.config.seed, self.config.seed + self.config.seeds))

    def place(self, where: Path, root: int) -> Path:
        """The folder of one seed in run folder ``where``."""
        return where if root == self.roots[0] else where / "seeds" / str(root)

    @cached_property
    def protocol(self) -> FederatedProtocol:
        """The protocol with its settings."""
        return catalog.protocol(self.config.protocol, self.config.options)

    def observation(self, name: str) -> Observation:
        """The membership observation of that name."""
        return catalog.observation(name)

    @cached_property
    def defense(self) -> Callable[[Environment], Defense | None]:
        """Builds the defense with its noise calibrated to an environment; None for none. It knows nothing else of the
        run. UsageError where it cannot act there."""
        from fedprivacy.defenses.build import build_for

        return partial(build_for, self.protocol, self.config.protocol, self.config.defense)

    @property
    def dataset(self) -> Dataset:
        """The records, as they lie where the settings say now. UsageError where they cannot be read."""
        from fedprivacy.study.dataset import dataset_of

        return dataset_of(self.federation.data)

    def game(self, root: int, shadow: int | None = None) -> Game:
        """Who holds what, and the coins: the truth, or the draw of shadow federation ``shadow``."""
        from fedprivacy.data.canaries import canaries, planted
        from fedprivacy.data.division import divide
        from fedprivacy.data.scaling import scaled
        from fedprivacy.study import recorded
        from fedprivacy.study.game import Game

        recording, data = recorded.folder_of(self.wire.protocol), self.federation.data
        if recording is not None:
            return recorded.played(recording, self.canaries, root, shadow)
        division = divide(self.dataset, data, self.federation.clients, self.federation.rounds, root)
        records = planted(scaled(self.dataset, division, data), division, self.canaries, root)
        return Game(records, division, self.coins(division, root, shadow), canaries(division, self.canaries, root))

    def coins(self, division: Division, root: int, shadow: int | None = None) -> tuple[Bool, ...]:
        """The coins of the game, or those of a shadow federation, which the adversary drew."""
        from fedprivacy.data.coins import coins, redraw
        from fedprivacy.study import recorded

        recording, inclusion = recorded.folder_of(self.wire.protocol), self.federation.data.inclusion
        if recording is not None:
            return recorded.coins_of(recording, division, shadow)
        if shadow is None:
            return coins(division, inclusion, root, self.canaries.coins)
        return redraw(division, inclusion, root, shadow, self.canaries.coins)

    def environment(self, root: int, shadow: int | None = None, device: str = "cpu") -> tuple[Environment, Game]:
        """The environment of one federation, and its game. UsageError where a client has nothing to train on."""
        from fedprivacy import seeds
        from fedprivacy.federation.bench import workbench
        from fedprivacy.federation.environment import Environment
        from fedprivacy.federation.interfaces import PlansWork

        played = self.game(root, shadow)
        secret = root if shadow is None else seeds.value(root, "shadow", shadow)
        members = played.members()
        for client, folds in enumerate(members):
            # Where one coin decides over all that a client has, having nothing is one of its two faces.
            if not any(map(len, folds)) and not self.wire.one_coin_a_client:
                raise UsageError(f"client {client} has no record to train on: raise data.candidates or data.inclusion.")
        if self.federation.training.augmentation and not played.dataset.is_image:
            raise UsageError(f"--augmentation is for images, and {played.dataset.name} holds features.")
        bench = workbench(self.federation.training, played.dataset, device)
        env = Environment(self.federation, secret, played.dataset, played.division, members, bench)
        if isinstance(self.protocol, PlansWork):
            env = replace(env, planned=tuple(self.protocol.work(env)))
        return env, played
