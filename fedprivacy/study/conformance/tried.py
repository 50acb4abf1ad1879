"""A part from outside in a small federation: a protocol by itself, others with protocols of ours."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.knowledge import Observation
from fedprivacy.study.conformance.defense import Defended
from fedprivacy.study.conformance.federation import Stage
from fedprivacy.study.conformance.observation import Watched
from fedprivacy.study.observe import brought
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve, wire_of
from fedprivacy.study.resolved import Study
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.release import of_clients
from fedprivacy.wire.transcript import MemoryStore, Transcript

KINDS = ("predictions", "weights", "update")
"""Kinds of message that a defense and an observation are tried on."""

OVER_FITTED = {"local_epochs": 15, "lr": 3e-3}
"""How clients train whom an observation has to read."""


def tried_protocol(name: str, config: RunConfig, options: dict[str, Any], seed: int) -> Stage:
    """The protocol of that name in the environment of ``config``."""
    return _staged(resolve(config.model_copy(update={"protocol": name, "options": options, "seed": seed})))


def tried_defense(name: str, config: RunConfig, options: dict[str, Any], epsilon: float | None) -> tuple[Defended, ...]:
    """The defense of that name on the first protocol of the catalog for each kind of message."""
    defense = config.defense.model_copy(update={"name": name, "options": options, "epsilon": epsilon})
    found = []
    for kind in KINDS:
        protocol = _first(kind, config)
        chosen = config.model_copy(update={"protocol": protocol, "defense": defense})
        study = resolve(chosen)
        stage = _staged(study)
        try:
            made = study.defense(stage.env)
            assert made is not None
            found.append(Defended(protocol, stage, made))
        except UsageError as error:
            found.append(Defended(protocol, stage, error))
    return tuple(found)


def tried_observation(made: Observation, config: RunConfig) -> tuple[Watched, ...]:
    """Over-fitted federations of the first protocol for each kind of message, as their server saw them."""
    training = config.training.model_copy(update=OVER_FITTED)
    found = []
    for kind in KINDS:
        chosen = config.model_copy(update={"protocol": _first(kind, config), "training": training})
        study = resolve(chosen)
        (root,) = study.roots
        env, played = study.environment(root)
        with tempfile.TemporaryDirectory() as folder:
            done = engine.run(study.protocol, env, Path(folder))
            view = view_of([_kept(done.transcript)], Adversary.parse(SERVER))
            knowledge = brought(Ran(study, root, False, played, env, None, done, Path(folder)), made)
        found.append(Watched(kind, view, knowledge, played.owners, played.flat_coins))
    return tuple(found)


def _kept(transcript: Transcript) -> Transcript:
    """The transcript with its contents in memory, so that no folder has to stay."""
    store = MemoryStore()
    for message in transcript.messages:
        store.put(message.digest, transcript.store.get(message.digest))
    return Transcript(transcript.messages, transcript.folds, store)


def _first(kind: str, config: RunConfig) -> str:
    """The first protocol whose clients send messages of a kind."""
    names = [name for name, card in CARDS.items() if not card.bound]
    sends = {n: wire_of(config.model_copy(update={"protocol": n})).releases for n in names}
    return next(n for n in names if any(r.kind == kind for r in of_clients(sends[n])))


def _staged(study: Study) -> Stage:
    return Stage(study.protocol, study.environment(study.roots[0])[0], study.wire.releases)
