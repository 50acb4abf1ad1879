"""One message's reconstruction beside the truth, the chance rows, and the null: the examiner's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.inversion.from_predictions import WHOLE_RUN
from fedprivacy.attacks.inversion.messages import EVERYBODY
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.data.pixels import PixelScale, pixel_scale
from fedprivacy.data.records import Ids
from fedprivacy.metrics.features import feature_accuracy, prior_row
from fedprivacy.metrics.images import ImageScores, nearest_images, pairwise_mse, score_images, score_pairs
from fedprivacy.study.game import Game
from fedprivacy.study.inversion.batches import Batches

BEST, NULL = "chosen attack", "null (another client's message)"
MEAN, RANDOM = "mean public image", "random public image"
UNIFORM, PRIOR = "uniform guess", "public prior"
NEAREST, CLASS_MEAN = "nearest public image of the class", "public mean of the class"


@dataclass(frozen=True, eq=False)
class Case:
    """One message: true images [B, C, H, W] with their labels [B], and scores [B] of every row by its name.

    ``images`` holds, row by row, the image that each truth was scored against. ``label_share``: part of the labels
    recovered, None where none were sought; ``features``: per row the share of right features, for rows of features.
    """

    kind: str
    truths: Float
    labels: Int
    scores: Mapping[str, ImageScores]
    images: Mapping[str, Float]
    attacks: tuple[str, ...]
    label_share: float | None
    label_guesses: Mapping[str, float]
    """The same of guesses that look at no message, where labels were sought."""
    features: Mapping[str, Float]
    told: Mapping[str, Float]
    """Per row, 1 where the truth is nearer to the image than every public image is, else 0 [B]; of single records."""
    told_chance: float
    """The largest part of them that pictures which know nothing could reach, on average."""
    public: int
    """How many public images that were."""
    unit: int = 0
    """Messages that share a record are one unit: they do not vary independently."""

    @property
    def bar(self) -> str:
        """The chance row that a leak must beat: the best guess that public records allow."""
        return NEAREST if self.kind == "records" else CLASS_MEAN


@dataclass(frozen=True, eq=False)
class Public:
    """The adversary's own records: pixels [n, C, H, W], labels [n], which features [d] are binary."""

    pixels: Float
    labels: Int
    binary: Int

    def of_class(self, label: int) -> Float:
        """Those of one class; all where there is none."""
        chosen = self.pixels[self.labels == label]
        return chosen if len(chosen) else self.pixels


def cases(batches: Batches, result: Reconstructions) -> list[Case]:
    """Every message of ``result`` that has a truth to score against, in order."""
    played, data, auxiliary = batches.game, batches.game.dataset, batches.game.division.auxiliary
    scale = pixel_scale(data, auxiliary)
    public = Public(scale.pixels(data.x_train[auxiliary]), data.y_train[auxiliary], _binary(played))
    found, behind = [], []
    for place, one in enumerate(result.found):
        ids = _ids(batches, one)
        if len(ids):
            draw = seeds.numpy_generator(batches.root, "inversion", "chance", one.client, one.number)
            found.append(_case(one, _other(result.found, place), ids, played, scale, public, draw))
            behind.append(ids)
    return [replace(case, unit=unit) for case, unit in zip(found, units_of(behind), strict=True)]


def units_of(behind: Sequence[Ids]) -> list[int]:
    """A number for each message, equal where messages share a record, directly or through others."""
    units: list[int] = []
    for place, ids in enumerate(behind):
        near = {units[before] for before in range(place) if np.isin(ids, behind[before]).any()}
        units = [place if unit in near else unit for unit in units]
        units.append(place)
    return units


def _binary(played: Game) -> Int:
    """1 for each feature [d] that is 0 or 1 in every public record; empty for images."""
    if played.dataset.is_image:
        return np.zeros(0, dtype=np.int64)
    rows = played.dataset.x_train[played.division.auxiliary].reshape(len(played.division.auxiliary), -1)
    return np.array([int(set(np.unique(column).tolist()) <= {0, 1}) for column in rows.T], dtype=np.int64)


def _ids(batches: Batches, one: Recovered) -> Ids:
    if one.number == WHOLE_RUN:
        return np.concatenate(batches.game.members()[one.client])
    return batches.all_used(one.client, one.number)


def _other(found: Sequence[Recovered], place: int) -> Recovered | None:
    """A message of other records: another client's, else (of a mean over all) another round's; None without one."""
    own = found[place]
    after = [*found[place + 1 :], *found[:place]]
    same_kind = [one for one in after if one.kind == own.kind]
    strangers = [one for one in same_kind if one.client != own.client]
    if own.client == EVERYBODY:
        strangers = [one for one in same_kind if one.number != own.number]
    near = [one for one in strangers if one.round == own.round]
    return next(iter(near or strangers), None)


def _case(
    one: Recovered,
    other: Recovered | None,
    ids: Ids,
    played: Game,
    scale: PixelScale,
    public: Public,
    draw: np.random.Generator,
) -> Case:
    data = played.dataset
    pixels, labels = scale.pixels(data.x_train[ids]), data.y_train[ids]
    mean = public.pixels.mean(axis=0)
    share, rows = _label_share(one, labels, len(data.classes)), dict[str, tuple[ImageScores, Float]]()
    guesses = {} if share is None else _label_guesses(public.labels, labels, len(data.classes))
    if one.kind == "classes":
        held = np.array([c for c in one.labels if (labels == c).any()], dtype=np.int64)
        pixels, labels = np.stack([pixels[labels == c].mean(axis=0) for c in held]), held

        def scored(images: Float, marks: Int) -> tuple[ImageScores, Float]:
            offered = np.repeat(mean[None], len(held), axis=0)
            for place, c in enumerate(held):
                at = np.flatnonzero(marks == c)
                if len(at) and at[0] < len(images) and np.isfinite(images[at[0]]).all():
                    offered[place] = images[at[0]]
            return score_pairs(offered, pixels), offered
    else:

        def scored(images: Float, marks: Int) -> tuple[ImageScores, Float]:
            sound = images[np.isfinite(images).all(axis=(1, 2, 3))] if len(images) else np.empty((0, *scale.shape))
            result = score_images(sound, pixels, mean)
            offered = np.concatenate([sound, mean[None]])
            return result, offered[result.match]

    rows[BEST] = scored(one.images, one.labels)
    for name, images in one.others.items():
        rows[name] = scored(images, one.labels)
    rows[MEAN] = scored(np.empty((0, *scale.shape)), np.empty(0, dtype=np.int64))
    random = np.stack([_one(public.of_class(int(c)) if one.kind == "classes" else public.pixels, draw) for c in labels])
    rows[RANDOM] = scored(random, labels)
    if one.kind == "classes":
        means = np.stack([public.of_class(int(c)).mean(axis=0) for c in labels])
        rows[CLASS_MEAN] = scored(means, labels)
    else:
        pools = [public.of_class(int(c)) for c in labels]
        nearest = np.stack([p[nearest_images(t[None], p)[0]] for t, p in zip(pixels, pools, strict=True)])
        rows[NEAREST] = score_pairs(nearest, pixels), nearest
    if other is not None:
        rows[NULL] = scored(other.images, other.labels)
    features = {}
    if len(public.binary):
        truths = pixels.reshape(len(pixels), -1)
        features = {
            name: feature_accuracy(images.reshape(len(images), -1), truths, public.binary)
            for name, (_, images) in rows.items()
        }
        prior = prior_row(public.pixels.reshape(len(public.pixels), -1))
        features["prior"] = feature_accuracy(np.repeat(prior[None], len(truths), axis=0), truths, public.binary)
    told = {}
    if one.kind == "records":
        told = {name: _told(rows[name][1], pixels, public.pixels) for name in (BEST, NULL) if name in rows}
    offered = max(len(one.images), len(pixels))
    scores, images_of = {n: s for n, (s, _) in rows.items()}, {n: i for n, (_, i) in rows.items()}
    return Case(
        one.kind,
        pixels,
        labels,
        scores,
        images_of,
        tuple(one.others),
        share,
        guesses,
        features,
        told,
        min(1.0, offered / (len(public.pixels) + len(pixels))),
        len(public.pixels),
    )


def _told(images: Float, truths: Float, public: Float) -> Float:
    """1 where image i is nearer to truth i than to every public image, else 0.

    Of R images, of which the nearest goes to each of B truths, those that know nothing have a truth as the nearest of
    all B + P known images with probability B / (B + P), so at most R / (B + P) of the truths are expected to be told.
    """
    own = np.square(np.clip(images, 0, 1) - truths).mean(axis=(1, 2, 3))
    return np.asarray(own < pairwise_mse(images, public).min(axis=1), dtype=np.float64)


def _one(pool: Float, draw: np.random.Generator) -> Float:
    chosen: Float = pool[int(draw.integers(len(pool)))]
    return chosen


def _label_share(one: Recovered, labels: Int, classes: int) -> float | None:
    """Part of the ``labels`` behind a message that came out of it, in any order; None where none were sought."""
    counts = one.counts
    if one.kind == "records":
        told = len(one.labels) > 0 and bool((one.labels >= 0).all())
        counts = _counts(one.labels, classes) if told else None
    return None if counts is None else _overlap(counts, _counts(labels, classes))


def _label_guesses(public: Int, labels: Int, classes: int) -> dict[str, float]:
    """The same of the counts that a guess expects: every class alike, or as often as among ``public`` labels."""
    guesses = {UNIFORM: np.ones(classes), PRIOR: _counts(public, classes)}
    return {name: _overlap(guess, _counts(labels, classes)) for name, guess in guesses.items()}


def _counts(labels: Int, classes: int) -> Float:
    return np.asarray(np.bincount(labels, minlength=classes), dtype=np.float64)


def _overlap(guess: Float, truth: Float) -> float:
    """Share of the labels in ``truth`` (counts [C]) that ``guess``, brought to the same number, has too."""
    own = guess * (truth.sum() / max(1e-12, float(guess.sum())))
    return float(np.minimum(own, truth).sum() / max(1.0, float(truth.sum())))
