"""A recorded federation as a protocol: it replays what crossed the wire, and every attack reads it as of any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.own.protocol import GLOBAL, START
from fedprivacy.federation.own.wire import Closed
from fedprivacy.recording.files import MODELS, SHADOWS, one_line
from fedprivacy.recording.game import RecordedGame, read_game
from fedprivacy.recording.transcript import read_start, read_transcript
from fedprivacy.wire.channel import Channel, Outgoing
from fedprivacy.wire.inferred import Told, releases_in
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.release import Release
from fedprivacy.wire.transcript import Store, Transcript


@dataclass(frozen=True, eq=False)
class RecordedFederation:
    """The recording in folder ``where``, or shadow federation ``shadow`` of it."""

    where: Path
    shadow: int | None = None

    @cached_property
    def game(self) -> RecordedGame:
        """Its game, without the truth."""
        return read_game(self.where)

    @property
    def place(self) -> Path:
        """The folder of this federation's own files."""
        return self.where if self.shadow is None else self.where / SHADOWS / f"{self.shadow:04d}"

    @cached_property
    def read(self) -> tuple[Transcript, bool]:
        """Its whole rounds, and whether it was finished."""
        return read_transcript(self.place, self.game.clients, len(self.game.dataset.y_train))

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """What crosses the wire, as far as the transcript tells. Nobody answers queries any more."""
        transcript, _ = self.read
        told = Told(
            start=read_start(self.place) is not None,
            loss="labels" if self.game.training else "more",
            steps_known=bool(self.game.training),
        )
        return releases_in(transcript, told)

    def check(self, env: Environment) -> None:
        """Nothing is left to be refused: files were checked when they were read."""

    def init(self, env: Environment) -> RoundOutcome:
        """The common start, where one was said."""
        start = read_start(self.place)
        given = {} if start is None else {START: {name: torch.from_numpy(array) for name, array in start.items()}}
        return RoundOutcome(FederationState(0, given))

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        """Never: a recording is replayed as a whole."""
        raise NotImplementedError("a recording is replayed as a whole")

    def whole(self, env: Environment, store: Store, defense: Outgoing | None, closed: Closed) -> FederationState:
        """Replay every whole round into ``store``."""
        if defense is not None:
            raise UsageError("a recording has crossed the wire already; no defense can change it.")
        transcript, _ = self.read
        for digest in dict.fromkeys(message.digest for message in transcript.messages):
            with one_line():
                store.put(digest, transcript.store.get(digest))
        for number in transcript.rounds():
            messages = [message for message in transcript.messages if message.round == number]
            closed(number, messages, [fold for fold in transcript.folds if fold.round == number])
        return FederationState(env.rounds, {f"{owner}/model": part for owner, part in self.final(env).items()})

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        """The models that were told at the end, else the last whole ones that crossed the wire; perhaps none."""
        return {part.removesuffix("/model"): (env.architecture(0), weights) for part, weights in state.parts.items()}

    def final(self, env: Environment) -> Mapping[str, Part]:
        """Those models by owner."""
        found = _stored_models(self.place) or _newest(self.read[0])
        whole = {name: t.shape for name, t in env.workbench.module(env.architecture(0)).state_dict().items()}
        return {owner: p for owner, p in found.items() if {name: t.shape for name, t in p.items()} == whole}


def _stored_models(place: Path) -> dict[str, dict[str, Tensor]]:
    if not (place / MODELS).exists():
        return {}
    with one_line():
        arrays, _ = folder.read_arrays(place / MODELS)
    found: dict[str, dict[str, Tensor]] = {}
    for key, array in arrays.items():
        owner, _, name = key.partition("/")
        found.setdefault(owner, {})[name] = torch.from_numpy(array)
    return found


def _newest(transcript: Transcript) -> dict[str, dict[str, Tensor]]:
    """The server's newest weights as the one model; else each client's."""
    newest: dict[str, dict[str, Tensor]] = {}
    for message in transcript.messages:
        if message.kind == Weights.kind:
            payload = transcript.payload(message)
            assert isinstance(payload, Weights)
            newest[message.sender] = {**newest.get(message.sender, {}), **payload.tensors}
    return {GLOBAL: newest[SERVER]} if SERVER in newest else newest
