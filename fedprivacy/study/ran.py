"""One federation of a study after its rounds: what the examiner's side holds of it, and what an adversary is handed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import seeds
from fedprivacy.federation.engine import Federation
from fedprivacy.federation.environment import Environment, Part
from fedprivacy.federation.interfaces import Defense, FederatedProtocol
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.study.game import Game
from fedprivacy.study.resolved import Study
from fedprivacy.wire.transcript import Transcript


@dataclass(frozen=True, eq=False)
class Ran:
    """``root`` is that of the target, of a ``shadow`` federation too; what was done lies in ``place``.

    ``on_disk``: whether its messages lie there too; else they are in memory.
    """

    study: Study
    root: int
    shadow: bool
    game: Game
    env: Environment
    defense: Defense | None
    done: Federation
    place: Path
    on_disk: bool = True

    def room_for(self, what: str) -> Path | None:
        """The folder for more messages; None where they stay in memory."""
        return self.place / what if self.on_disk else None

    @property
    def protocol(self) -> FederatedProtocol:
        """The protocol that was run."""
        return self.study.protocol

    def knowledge(self, *purpose: str, start: Part | None = None, **more: Any) -> Knowledge:
        """What every adversary brings, with ``more`` (fields of :class:`Knowledge`); ``purpose`` names its seed."""
        division = self.game.division
        return Knowledge(
            self.study.attack,
            seeds.value(self.root, "adversary", *purpose),
            self.env.dataset,
            np.concatenate([division.pool(client) for client in range(len(division.candidates))]),
            division.auxiliary,
            self.env.workbench.with_training(self.study.federation.training),
            start,
            wire=self.study.wire,
            **more,
        )


def common_start(protocol: FederatedProtocol, env: Environment) -> Part | None:
    """The weights that everybody begins from: those of the model that travels, or of the clients; None for neither.

    None too where the server begins from one client's model and the others from models of their own.
    """
    parts = protocol.init(env).state.parts
    if "server/model" in parts:
        start = parts["server/model"]
        shared = [parts.get(f"client-{client}/model") is start for client in range(env.clients)]
        return start if all(shared) or not any(shared) else None
    return parts.get("client-0/model") if env.settings.training.init == "shared" else None


def rounds_before(transcript: Transcript, last: int) -> Transcript:
    """The rounds before the last one."""
    folds = tuple(fold for fold in transcript.folds if fold.round < last)
    kept = transcript.restricted(lambda message: message.round < last)
    return Transcript(kept.messages, folds, kept.store)
