"""What a client's classes look like by its predictions: as a mixture of simulated clients made of public records.

The counterpart of :mod:`~fedprivacy.attacks.inversion.dictionary` where no gradient is sent. The client's run is
played with records of the adversary's own in the place of its own, and with everything that it was really sent
(:mod:`fedprivacy.attacks.membership.unrolled.replay`). Ridge regression over these worlds says how answers move with
the mean images of the classes (kernel form: Saunders, Gammerman, Vovk 1998), and is applied to the answers that came.

How far to shrink towards the public mean is chosen by leaving out one world after the other. The largest ridge gives
that mean itself, so answers that tell nothing leave what was public before. So do answers that lie farther out than
those of every world that is left out: there the ridge was never tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, Int, View
from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.messages import nominal_records
from fedprivacy.attacks.membership.decode import decode_sent
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.attacks.membership.unrolled.readings import sent_for
from fedprivacy.attacks.membership.unrolled.situation import Course, behind, course
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.course import Fit, Private
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.learner import Records, Seed
from fedprivacy.wire.payload import Predictions

WORLDS, FEWEST = 24, 6
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1e6)
"""Lambda over the mean diagonal of the Gram matrix of the worlds; the last is as good as no answers at all."""
BEYOND = "a client answered unlike every simulated one: of it the mixture says the public means, and no more"
UNKNOWN_START = "the clients' starts are not known: the mixture is of simulated clients that begin elsewhere"


@dataclass(frozen=True, eq=False)
class Worlds:
    """Simulated clients: ``answers`` [worlds, features], and by how much the mean image of each class differs from the
    public one, ``away`` [worlds, classes, C, H, W], 0 where a world has no record of a class."""

    answers: Float
    away: Float

    def told(self, answers: Float, ridge: float, without: int | None = None) -> Float:
        """The difference [classes, C, H, W] behind ``answers`` [features]; ``without``: a world that is left out."""
        kept = self._kept(without)
        mean = self.answers[kept].mean(axis=0)
        apart = self.answers[kept] - mean
        gram = apart @ apart.T
        size = max(float(np.diag(gram).mean()), np.finfo(float).tiny)
        weights = np.linalg.solve(gram + ridge * size * np.eye(len(kept)), apart @ (answers - mean))
        return np.asarray(np.tensordot(weights - weights.mean(), self.away[kept], axes=1))

    def beyond(self, answers: Float) -> bool:
        """Whether ``answers`` [features] lie farther from the worlds' mean than each world from that of the others."""
        farthest = max(self._distance(own, world) for world, own in enumerate(self.answers))
        return self._distance(answers) > farthest

    def _distance(self, answers: Float, without: int | None = None) -> float:
        return float(np.linalg.norm(answers - self.answers[self._kept(without)].mean(axis=0)))

    def _kept(self, without: int | None) -> list[int]:
        return [world for world in range(len(self.answers)) if world != without]

    def best_ridge(self) -> float:
        """The ridge by which the worlds that are left out come out nearest."""
        errors = [
            sum(
                float(np.square(self.told(self.answers[w], ridge, w) - self.away[w]).sum())
                for w in range(len(self.answers))
            )
            for ridge in RIDGES
        ]
        return RIDGES[int(np.argmin(errors))]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mean ``images`` [classes, C, H, W] of a client's classes, in pixels, and what must be said of them."""

    images: Float
    notes: tuple[str, ...] = ()


def answer_mixture(
    view: View,
    knowledge: Knowledge,
    client: int,
    given: Sequence[Answer],
    scale: PixelScale,
    clock: Clock = UNLIMITED,
) -> Mixture:
    """What the classes of ``client`` look like by its answers ``given``; the public means where these lie too far out.

    Raises ValueError where its course cannot be followed, the adversary has fewer records than a client, or ``clock``
    is over before there are a few worlds.
    """
    told = course(view, knowledge, client, given)
    data, own = knowledge.dataset, knowledge.auxiliary
    folds, size = len(told.rules.division.candidates[client]), nominal_records(knowledge)
    if folds * size > len(own):
        raise ValueError(f"a client has more records than the adversary ({len(own)}); raise data.auxiliary")
    pixels, labels, classes = scale.pixels(data.x_train[own]), data.y_train[own], len(data.classes)
    public = _means(pixels, labels, np.repeat(pixels.mean(axis=0)[None], classes, axis=0))
    draw = seeds.numpy_generator(knowledge.root, "answer mixture", client)
    answers, away = [], []
    for world in range(WORLDS):
        if clock.over:
            break
        rows = np.split(draw.permutation(len(own))[: folds * size], folds)
        private = [Records(data.x_train[own[part]], data.y_train[own[part]]) for part in rows]
        naming = _naming(seeds.value(knowledge.root, "answer mixture", client), world)
        played = told.replay.answers(private, told.asked, naming)
        arrived = {
            t: behind(told.protection.wire, sent_for(logits, told.labels[t], told.payloads[t].form), client, t)
            for t, logits in played.items()
        }
        answers.append(features(arrived, told, classes))
        chosen = np.concatenate(rows)
        away.append(_means(pixels[chosen], labels[chosen], public) - public)
    if len(answers) < FEWEST:
        raise ValueError("the budget was over before a few clients were simulated")
    worlds = Worlds(np.stack(answers), np.stack(away))
    observed = features(told.payloads, told, classes)
    notes = (*(() if told.start_known else (UNKNOWN_START,)), *told.doubts)
    if worlds.beyond(observed):
        return Mixture(public, (*notes, BEYOND))
    return Mixture(np.asarray(public + worlds.told(observed, worlds.best_ridge())), notes)


def features(payloads: Mapping[int, Predictions], told: Course, classes: int) -> Float:
    """Centred log-probabilities of all answers, in one row."""
    found = []
    for round, payload in sorted(payloads.items()):
        labels = told.labels[round].numpy()
        values = payload.values.numpy()
        logp, _ = decode_sent(values, payload.form, np.arange(len(values)), labels=labels, classes=classes)
        found.append((logp - logp.mean(axis=1, keepdims=True)).ravel())
    return np.concatenate(found)


def _means(pixels: Float, labels: Int, instead: Float) -> Float:
    """Mean image of each class [classes, C, H, W]; that of ``instead`` for a class without a record."""
    return np.stack([pixels[labels == c].mean(axis=0) if (labels == c).any() else i for c, i in enumerate(instead)])


def _naming(root: int, world: int) -> Callable[[Private | Fit], Seed]:
    def naming(event: Private | Fit) -> Seed:
        name = "private" if isinstance(event, Private) else event.name
        return root, ("world", world, name, event.round)

    return naming
