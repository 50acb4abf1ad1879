"""Where predictions are shared there is no gradient: one image a class and client is the most that is sought.

In the order in which they are chosen, whatever comes out: the answers as a mixture of simulated clients'
(``dictionary``), paired logits (Takahashi et al. 2023) where records are pictures, and what a surrogate of the client,
distilled from its predictions, takes most surely for a class, of all pictures (Fredrikson et al. 2015) or of those
that public records allow (``prior``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.inversion.answer_mixture import answer_mixture
from fedprivacy.attacks.inversion.clock import Clock, until
from fedprivacy.attacks.inversion.dictionary import DICTIONARY
from fedprivacy.attacks.inversion.knowledge import Knowledge as Card
from fedprivacy.attacks.inversion.pli import PliSettings, PublicRound, invert_classes, prior_images, train_inverter
from fedprivacy.attacks.inversion.prior import LinearPrior, PriorSettings
from fedprivacy.attacks.inversion.prior_classes import class_pictures
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.attacks.inversion.surrogate_inversion import ClassInversionSettings, class_images
from fedprivacy.attacks.membership.decode import decode_sent
from fedprivacy.attacks.membership.received import Answer, answers
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.learner import Records
from fedprivacy.training.losses import kl_divergence, log_probabilities
from fedprivacy.wire.parties import client_index

PLI = PliSettings(lr=1e-3, width=128)
"""The published network is four times as wide and learns for far longer; small pictures need neither."""
OWN_EPOCHS, BATCH = 20, 32
OWN_SHARE = 0.1
"""Part of the time that the adversary's own model may take."""
CLASSES = ClassInversionSettings(restarts=4)
PAIRS, SURROGATE, PRIOR = "paired-logits", "surrogate", "prior"
NOTE = "predictions hold no gradient: what is sought is one image a class, which stands for no single record"
WHOLE_RUN = 0
"""The number of a message that stands for all rounds."""


def from_predictions(
    view: View, knowledge: Knowledge, scale: PixelScale, clock: Clock, progress: Callable[[float], None]
) -> Reconstructions:
    """Images of every class for each client whose predictions are in sight. Raises ValueError where none are."""
    me = client_index(view.position) if view.position.startswith("client-") else None
    told: dict[int, list[Answer]] = {}
    for answer in answers(view):
        if answer.client not in (me, -1):
            told.setdefault(answer.client, []).append(answer)
    if not told:
        raise ValueError("no client's predictions are in sight")
    classes = len(knowledge.dataset.classes)
    wanted, pairs = knowledge.attack.inversion, scale.shape[1] > 1 and _asked(PAIRS, knowledge.attack.inversion.methods)
    own = _own_model(knowledge, clock.part(OWN_SHARE)) if pairs else None
    found: list[Recovered] = []
    notes = {
        "predictions hold no gradient: what is sought is one image a class, which stands for no single record": None
    }
    chosen = sorted(told.items())[: wanted.messages]
    last = max(given[-1].round for given in told.values())
    for place, (client, given) in enumerate(chosen):
        progress(place / len(chosen))
        if clock.over and found:
            break
        part, images = clock.part(1 / (len(chosen) - place)), dict[str, Float]()
        if _asked(DICTIONARY, wanted.methods):
            try:
                mixture = answer_mixture(view, knowledge, client, given, scale, part.part(0.5))
                images[DICTIONARY] = mixture.images
                notes |= dict.fromkeys(mixture.notes)
            except ValueError as error:
                notes[f"{DICTIONARY} was not run: {error}"] = None
        surrogate = [name for name in (SURROGATE, PRIOR) if _asked(name, wanted.methods)]
        if own is not None:
            time = part.part(1 / 3 if surrogate else 1.0)
            images[PAIRS] = _by_pairs(given, client, own, knowledge, scale, time)
        if surrogate and images and part.over:
            why = f"the share of the budget of client {client} was spent"
            notes |= dict.fromkeys(f"{name} was not run: {why}" for name in surrogate)
        elif surrogate:
            images |= _of_surrogate(given, client, knowledge, scale, surrogate, part)
        if not images:
            raise ValueError(_nothing(wanted.methods, notes))
        name, marks = next(iter(images)), np.arange(classes)
        found.append(Recovered(last, client, WHOLE_RUN, "classes", images[name], marks, name, others=images))
    public = sum(len(answer.records) for answer in next(iter(told.values())))
    labelled = any(answer.labelled for given in told.values() for answer in given)
    card = {
        "shared": "predictions on public records: there is no gradient, and no record of a client to match",
        "records": f"one image for each of {classes} classes and client",
        "public records": f"{public} with predictions, {'labels known' if labelled else 'labels not known'}",
        "own model": f"the architecture, trained on {len(knowledge.auxiliary)} records of its own",
        "labels": "every class",
    }
    if clock.over:
        notes[f"stopped by the budget of {clock.seconds:g} s: another machine may get further"] = None
    return Reconstructions("shared predictions", tuple(found), card, tuple(notes))


def _asked(method: str, methods: Sequence[str]) -> bool:
    return not methods or method in methods


def _nothing(methods: Sequence[str], notes: Mapping[str, None]) -> str:
    """Why no method gave anything."""
    why = "; ".join(note for note in notes if "was not run" in note)
    fitting = f"{DICTIONARY}, {PAIRS}, {SURROGATE}, {PRIOR}"
    return why or f"none of {', '.join(methods)} fits predictions; these do: {fitting}"


def _own_model(knowledge: Knowledge, clock: Clock) -> tuple[str, Part]:
    """The adversary's model: trained on its own records with their labels, until ``clock`` is over."""
    name, training = knowledge.settings.training.model, knowledge.settings.training
    bench = knowledge.workbench.with_training(
        training.model_copy(update={"optimizer": "adam", "lr": 1e-3, "batch_size": BATCH, "weight_decay": 0.0})
    )
    learner = bench.learner(name, bench.initial(name, (knowledge.root, ("own model",))))
    ids, data = knowledge.auxiliary, knowledge.dataset
    records = Records(data.x_train[ids], data.y_train[ids])
    learner.fit(records, OWN_EPOCHS, (knowledge.root, ("own model", "fit")), stopping=until(clock))
    return name, learner.weights()


def _logp(answer: Answer, knowledge: Knowledge) -> Tensor:
    rows, data = np.arange(len(answer.records)), knowledge.dataset
    labels, values = data.y_train[answer.records], answer.payload.values.numpy()
    logp, _ = decode_sent(values, answer.payload.form, rows, labels=labels, classes=len(data.classes))
    return torch.from_numpy(logp)


def _by_pairs(
    given: Sequence[Answer],
    client: int,
    own: tuple[str, Part],
    knowledge: Knowledge,
    scale: PixelScale,
    clock: Clock,
) -> Float:
    data, classes = knowledge.dataset, len(knowledge.dataset.classes)
    rounds = []
    for answer in given:
        x = data.x_train[answer.records]
        logits = knowledge.workbench.logits(*own, x).double()
        labels = torch.from_numpy(data.y_train[answer.records]) if answer.labelled else None
        pixels = torch.from_numpy(scale.pixels(x))
        rounds.append(PublicRound(pixels, log_probabilities(logits), _logp(answer, knowledge), labels))
    known = all(fold.labels is not None for fold in rounds)
    joined = torch.cat([fold.labels for fold in rounds if fold.labels is not None]) if known else None
    prior = prior_images(torch.cat([fold.pixels for fold in rounds]), joined, classes)
    network = train_inverter(rounds, prior, seeds.value(knowledge.root, "pairs", client), PLI, clock)
    return np.asarray(invert_classes(network, classes).double().numpy())


def _of_surrogate(
    given: Sequence[Answer],
    client: int,
    knowledge: Knowledge,
    scale: PixelScale,
    asked: Sequence[str],
    clock: Clock,
) -> dict[str, Float]:
    """Images by a surrogate, of all pictures and of those that public records allow, as ``asked``.

    A budget in steps is one of passes of the surrogate too; of time its training may take half.
    """
    settings, attack, data = knowledge.settings, knowledge.attack, knowledge.dataset
    name = settings.architecture(client)
    bench = knowledge.workbench.with_training(
        settings.training.model_copy(
            update={"optimizer": "adam", "lr": attack.surrogate_lr, "batch_size": 64, "weight_decay": 0.0}
        )
    )
    learner = bench.learner(name, bench.initial(name, (knowledge.root, ("surrogate",))))
    wanted = torch.cat([_logp(answer, knowledge) for answer in given]).float()
    ids = np.concatenate([answer.records for answer in given])

    def loss(logits: Tensor, _: Tensor, rows: Tensor) -> Tensor:
        return kl_divergence(wanted.to(logits.device)[rows], log_probabilities(logits))

    records = Records(data.x_train[ids], np.zeros(len(ids), dtype=np.int64))
    passes = min(attack.surrogate_epochs, attack.steps or attack.surrogate_epochs)
    learner.fit(records, passes, (knowledge.root, ("surrogate", "fit")), loss, stopping=until(clock.part(0.5)))
    classes = len(data.classes)
    low, size = (np.asarray(values) for values in (scale.low, scale.range))
    card = Card(scale.shape, classes, mean=tuple((-low / size).tolist()), std=tuple((1 / size).tolist()))
    draw = seeds.generator(knowledge.root, "surrogate inversion", client)
    iterations, found = math.ceil(attack.inversion.iterations / 2), dict[str, Float]()
    if SURROGATE in asked:
        time, limits = clock.part(1 / len(asked)), replace(CLASSES, iterations=iterations)
        plain = class_images(learner.module, card, range(classes), draw, limits, time)
        found[SURROGATE] = plain.images.double().cpu().numpy()
    if PRIOR in asked:
        own = knowledge.auxiliary
        pixels, labels = torch.from_numpy(scale.pixels(data.x_train[own])), torch.from_numpy(data.y_train[own])
        means, decoder = prior_images(pixels, labels, classes), LinearPrior(pixels, PriorSettings().width)
        found[PRIOR] = class_pictures(learner.module, card, decoder, means, iterations, clock).double().cpu().numpy()
    return found
