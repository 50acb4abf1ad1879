"""Models on the wire: load what was sent into the known architecture and query it on the candidates.

A server reads each client's model, meme or decoded update (``UploadedWeights`` and its kin). A peer reads what the
server broadcasts and can only say "some other client" (``GlobalModel``); its own upload is a reference that trained on
none of the others' candidates. Without a server, a peer reads its neighbours' students.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.models_on_wire import (
    Received,
    broadcast_models,
    uploaded_models,
)
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.training.learner import as_input
from fedprivacy.wire.parties import client_index

INCOMPLETE = "some layers had not been sent yet"
ONLY_AGGREGATE = "no single upload is in sight: this is the aggregate"


@dataclass(frozen=True)
class UploadedWeights:
    """Sources are the clients; rounds are all, or the newest alone where scores combine by ``last``."""

    name: ClassVar[str] = "uploaded weights"
    needs_start: ClassVar[bool] = False

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        told, last = view.transcripts[0], _last_only(knowledge)
        models, sources = list(uploaded_models(told, last, knowledge.start)), list(range(knowledge.settings.clients))
        hidden: tuple[str, ...] = ()
        if not models:
            models = list(broadcast_models(told, last, None, knowledge.start))
            hidden, sources = ((ONLY_AGGREGATE,), [-1]) if models else ((), sources)
        rounds = sorted({model.round for model in models})
        logp, notes = _queried(models, sources, rounds, knowledge)
        return _observed(logp, knowledge, (*hidden, *notes))


@dataclass(frozen=True)
class UploadedMemes(UploadedWeights):
    """The small model that travels in the place of a private one (Shen et al. 2020, arXiv 2006.16765)."""

    name: ClassVar[str] = "uploaded memes"


@dataclass(frozen=True)
class DecodedUpdates(UploadedWeights):
    """Updates, low-rank or whole, on the weights that their senders started from."""

    name: ClassVar[str] = "decoded updates"
    needs_start: ClassVar[bool] = True


@dataclass(frozen=True)
class Students(UploadedWeights):
    """Students that neighbours send each other (arXiv 2412.11207)."""

    name: ClassVar[str] = "models of neighbours"


@dataclass(frozen=True)
class GlobalModel:
    """The only source is the broadcast model."""

    name: ClassVar[str] = "global model"
    needs_start: ClassVar[bool] = False

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        last, told = _last_only(knowledge), view.transcripts[0]
        peer = view.position.startswith("client-")
        models = list(broadcast_models(told, last, view.position if peer else None, knowledge.start))
        rounds = sorted({model.round for model in models})
        logp, notes = _queried(models, [-1], rounds, knowledge)
        own, population = None, None
        if peer:
            me = client_index(view.position)
            mine = [m for m in uploaded_models(told, last, knowledge.start) if m.client == me]
            found, _ = _queried(_newest(mine, rounds, knowledge), [me], rounds, knowledge)
            if not np.isnan(found).all():
                own, population = _parts(found, knowledge)
        return _observed(logp, knowledge, notes, own, population)


@dataclass(frozen=True)
class GlobalFromUpdates(GlobalModel):
    """The same where the server broadcasts updates: their sum on the common start."""

    name: ClassVar[str] = "global model from updates"
    needs_start: ClassVar[bool] = True


def _newest(mine: Sequence[Received], rounds: Sequence[int], knowledge: Knowledge) -> list[Received]:
    """One's own newest whole model in each of ``rounds``, or the first: at its own speed, one has none in some."""
    whole = [m for m in mine if set(m.weights) == set(knowledge.workbench.module(_name(m, knowledge)).state_dict())]
    found = []
    for round in rounds if whole else []:
        before = [model for model in whole if model.round <= round]
        found.append(replace(before[-1] if before else whole[0], round=round))
    return found


def _name(model: Received, knowledge: Knowledge) -> str:
    return knowledge.wire.travelling(model.holder)


def _last_only(knowledge: Knowledge) -> bool:
    return knowledge.attack.combine == "last"


def _queried(
    models: Sequence[Received], sources: Sequence[int], rounds: Sequence[int], knowledge: Knowledge
) -> tuple[Float, tuple[str, ...]]:
    """Log-probabilities [sources, rounds, candidates and auxiliary, C], and what could not be queried."""
    ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
    x = as_input(knowledge.dataset.x_train[ids])
    classes = len(knowledge.dataset.classes)
    logp = np.full((len(sources), len(rounds), len(ids), classes), np.nan)
    notes: set[str] = set()
    for model in models:
        name = _name(model, knowledge)
        if set(model.weights) != set(knowledge.workbench.module(name).state_dict()):
            notes.add(f"round {model.round}: {INCOMPLETE}")
            continue
        logits = knowledge.workbench.logits(name, model.weights, x).numpy()
        decoded, _ = decode(logits, "logits", classes=classes)
        logp[sources.index(model.client), rounds.index(model.round)] = decoded
    return logp, tuple(sorted(notes))


def _parts(logp: Float, knowledge: Knowledge) -> tuple[Float, Float | None]:
    """The same on the candidates, and on the adversary's own records."""
    n = len(knowledge.candidates)
    return logp[:, :, :n], logp[:, :, n:] if len(knowledge.auxiliary) else None


def _observed(
    logp: Float,
    knowledge: Knowledge,
    notes: tuple[str, ...],
    own: Float | None = None,
    own_population: Float | None = None,
) -> Observed:
    found, population = _parts(logp, knowledge)
    seen = np.asarray((~np.isnan(found).any(axis=3)).any(axis=0))
    return Observed(
        found,
        seen,
        np.ones(seen.shape, dtype=bool),
        population,
        {},
        notes,
        reference_logp=own,
        reference_population_logp=own_population,
    )
