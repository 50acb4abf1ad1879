"""Models on the wire: load the received weights into the known architecture and query them on the candidates.

``UploadedWeights``: a server reads each client's model. ``GlobalModel``: a peer reads what the server broadcasts, and
can only say "some other client".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.received import Received, global_weights, uploaded_weights
from fedprivacy.interfaces import Knowledge, Observed
from fedprivacy.threat import View


@dataclass(frozen=True)
class UploadedWeights:
    """Sources are the clients; rounds are all, or the last alone where scores combine by ``last``."""

    name: ClassVar[str] = "uploaded weights"

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        last = knowledge.config.attack.combine == "last"
        models = list(uploaded_weights(view.transcripts[0], last))
        return _queried(models, list(range(knowledge.config.clients)), knowledge)


@dataclass(frozen=True)
class GlobalModel:
    """The only source is the broadcast model."""

    name: ClassVar[str] = "global model"

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        last = knowledge.config.attack.combine == "last"
        return _queried(list(global_weights(view.transcripts[0], last)), [-1], knowledge)


def _queried(models: Iterable[Received], sources: list[int], knowledge: Knowledge) -> Observed:
    ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
    x = knowledge.dataset.x_train[ids]
    classes = len(knowledge.dataset.classes)
    models = list(models)
    rounds = sorted({model.round for model in models})
    logp = np.full((len(sources), len(rounds), len(ids), classes), np.nan)
    name = knowledge.config.training.model
    complete = set(knowledge.workbench.module(name).state_dict())
    notes: set[str] = set()
    for model in models:
        if set(model.weights) != complete:
            notes.add(f"round {model.round}: some layers had not been sent yet")
            continue
        logits = knowledge.workbench.logits(name, model.weights, x).numpy()
        decoded, _ = decode(logits, "logits", classes=classes)
        logp[sources.index(model.client), rounds.index(model.round)] = decoded
    seen = ~np.isnan(logp).any(axis=(0, 3)).reshape(len(rounds), len(ids))
    n = len(knowledge.candidates)
    population = logp[:, :, n:] if len(knowledge.auxiliary) else None
    return Observed(
        logp[:, :, :n], seen[:, :n], np.ones((len(rounds), n), dtype=bool), population, {}, tuple(sorted(notes))
    )
