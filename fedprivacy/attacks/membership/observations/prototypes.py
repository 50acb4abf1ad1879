"""Class prototypes: ``logit_c = -||h(x) - prototype_c||^2 / tau`` with an extractor h of the adversary's own.

Prototypes are means of private features (Tan et al. 2022, arXiv 2105.00243), so a member pulls the mean of its class
towards itself. The adversary trains h as a client would: from the common start, on its own auxiliary records, pulled to
the prototypes it received. Where a student's weights travel beside the prototypes (arXiv 2412.11207), that is h.
``tau`` is the median squared distance. A class that was not sent has no record behind it: its logit is minus infinity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.models_on_wire import uploaded_models
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.training import prototypes
from fedprivacy.training.features import feature_size, features_and_logits, features_of
from fedprivacy.training.joint import fit_together
from fedprivacy.training.learner import Records
from fedprivacy.training.losses import cross_entropy
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.payloads import Prototypes as Payload
from fedprivacy.wire.release import PROTOTYPES
from fedprivacy.wire.transcript import Transcript

AGGREGATE = -1
UNTOLD = 1.0
"""Weight of the pull to the prototypes, where nobody says what it is."""


@dataclass(frozen=True)
class Prototypes:
    """Sources are the clients whose prototypes are in the view, or the mean that the server sent to a peer."""

    name: ClassVar[str] = "class prototypes"
    needs_start: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        told = view.transcripts[0]
        me = client_index(view.position) if view.position.startswith("client-") else None
        sent = list(received_prototypes(told))
        by_client = any(client not in (AGGREGATE, me) for _, client, _ in sent)
        sent = [one for one in sent if (one[1] == AGGREGATE) != by_client]
        if knowledge.attack.combine == "last" and sent:
            final, newest = max(t for t, _, _ in sent), {client: held for _, client, held in sent}
            sent = [(final, client, held) for client, held in newest.items()]
        ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
        rounds, classes = sorted({t for t, _, _ in sent}), len(knowledge.dataset.classes)
        sources = list(range(knowledge.settings.clients)) if by_client else [AGGREGATE]
        logp = np.full((len(sources), len(rounds), len(ids), classes), np.nan)
        floor: dict[str, int] = {}
        extractors = _extractors(told, knowledge, [held for _, _, held in sent], me)
        for number, client, held in sent:
            weights = extractors.get(client, extractors.get(AGGREGATE))
            if weights is None or held.means.shape[1] != weights[1]:
                continue
            decoded, clamped = decode(_nearness(weights[0], held, knowledge, ids), "logits", classes=classes)
            logp[sources.index(client), rounds.index(number)] = decoded
            for name, count in clamped.items():
                floor[name] = floor.get(name, 0) + count
        n = len(knowledge.candidates)
        seen = np.asarray((~np.isnan(logp).any(axis=3)).any(axis=0))
        population = logp[:, :, n:] if len(knowledge.auxiliary) else None
        clean = np.ones((len(rounds), n), dtype=np.bool_)
        return Observed(logp[:, :, :n], seen[:, :n], clean, population, floor, _notes(sent, extractors))


def received_prototypes(transcript: Transcript) -> Iterator[tuple[int, int, Payload]]:
    """(round, client or :data:`AGGREGATE`, prototypes) in transcript order; each once a round."""
    told: set[tuple[int, int]] = set()
    for message in transcript.messages:
        if message.kind != Payload.kind:
            continue
        client = AGGREGATE if message.sender == SERVER else client_index(message.sender)
        if (message.round, client) in told:
            continue
        told.add((message.round, client))
        payload = transcript.payload(message)
        assert isinstance(payload, Payload)
        yield message.round, client, payload


Features = tuple[Float, int]
"""Features [N, d] of candidates and auxiliary records, and d."""


def _extractors(told: Transcript, knowledge: Knowledge, held: list[Payload], me: int | None) -> Mapping[int, Features]:
    """Features by source: of its newest student where one travels, else of an extractor of the adversary's own."""
    ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
    x, device = knowledge.dataset.x_train[ids], knowledge.workbench.device
    found: dict[int, Features] = {}
    for model in uploaded_models(told, True):
        name = knowledge.wire.travelling(model.client)
        module = knowledge.workbench.module(name)
        if model.client != me and set(model.weights) == set(module.state_dict()):
            module.load_state_dict(dict(model.weights))
            found[model.client] = (features_of(module, x, device).double().numpy(), feature_size(module))
    if found or not held or knowledge.start is None or not len(knowledge.auxiliary):
        return found
    name = knowledge.wire.travelling(0 if me is None else me)
    if feature_size(knowledge.workbench.module(name)) != held[-1].means.shape[1]:
        return found
    known = prototypes.merged(held[-knowledge.settings.clients :])
    weights = _trained_extractor(name, knowledge.start, known, knowledge)
    module = knowledge.workbench.module(name)
    module.load_state_dict(dict(weights))
    found[AGGREGATE] = (features_of(module, x, device).double().numpy(), feature_size(module))
    return found


def _trained_extractor(name: str, start: Part, known: Payload, knowledge: Knowledge) -> Part:
    """A client's local training over all rounds, on auxiliary records, pulled to the received prototypes."""
    learner = knowledge.workbench.learner(name, start)
    means, present = (t.to(learner.device) for t in prototypes.table(known, len(knowledge.dataset.classes)))
    weight = next((r.pull for r in knowledge.wire.releases if r.reads in PROTOTYPES), UNTOLD)

    def step(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        hidden, logits = features_and_logits(learner.module, x)
        return cross_entropy(logits, labels) + weight * prototypes.pull(hidden, labels, means, present), logits

    ids = knowledge.auxiliary
    records = Records(knowledge.dataset.x_train[ids], knowledge.dataset.y_train[ids])
    epochs = knowledge.settings.rounds * knowledge.settings.training.local_epochs
    seed = (seeds.value(knowledge.root, "extractor"), ("fit",))
    fit_together([learner], records, epochs, seed, step)
    return learner.weights()


def _nearness(features: Float, held: Payload, knowledge: Knowledge, ids: np.ndarray) -> Float:
    """Logits [N, C]: minus the squared distance over its median; minus infinity for classes without a prototype."""
    means, present = prototypes.table(held, len(knowledge.dataset.classes))
    near = prototypes.nearness(torch.from_numpy(features), means.double(), present).numpy()
    finite = near[np.isfinite(near)]
    scale = float(np.median(-finite)) if len(finite) else 1.0
    return np.asarray(near / (scale or 1.0))


def _notes(sent: list[tuple[int, int, Payload]], extractors: Mapping[int, Features]) -> tuple[str, ...]:
    notes = []
    single = sum(int((held.counts == 1).sum()) for _, _, held in sent)
    if single:
        notes.append(f"{single} prototypes are the features of a single record, and say so")
    if AGGREGATE in extractors:
        notes.append("features from an extractor trained on the adversary's own records")
    elif extractors:
        notes.append("features from the students that travel beside the prototypes")
    else:
        notes.append("no extractor of the adversary's own fits the prototypes: it needs auxiliary records")
    return tuple(notes)
