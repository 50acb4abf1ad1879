"""Canaries: candidates that an audit guesses on, changed so that training on one shows.

A mislabelled or an out-of-distribution record is fitted only by remembering it (Nasr et al. 2021, arXiv 2101.04535;
Carlini et al. 2022). Members and non-members are chosen and changed alike, without looking at the coins, so they stay
exchangeable. The source drops duplicates, and a changed record is drawn by itself, so no canary has a copy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.data.coins import Bool, units
from fedprivacy.data.records import Dataset, Division, Ids

FAR = 3.0
"""Standard deviations of random features, in those of the training records."""
WHITE = 0.1
"""Share of white pixels in an orthogonal image. With fewer the head's gradient weighs more, which is much alike."""


def canaries(division: Division, config: CanaryConfig, root: int) -> tuple[Bool, ...]:
    """One mask a client, in the order of ``division.pool(client)``: True is a canary.

    Chosen at random from each pool, whole pairs where coins decide between two. Raises UsageError where the pools hold
    fewer than asked for.
    """
    masks = []
    clients = len(division.candidates)
    for client, (unit, side) in enumerate(units(division, config.coins)):
        playing = np.unique(unit[side != 0])
        if config.number is None:
            masks.append(side != 0)
            continue
        share = config.number // clients + (client < config.number % clients)
        if share > len(playing):
            raise UsageError(
                f"--canaries {config.number:,}: client {client} would need {share:,} and has {len(playing):,} "
                "candidates to choose from; lower --canaries or raise --candidates."
            )
        chosen = seeds.numpy_generator(root, "canaries", client).permutation(playing)[:share]
        masks.append(np.isin(unit, chosen) & (side != 0))
    return tuple(masks)


def planted(dataset: Dataset, division: Division, config: CanaryConfig, root: int) -> Dataset:
    """The data set with its canaries changed as ``config`` says; the same one where they stay as they are."""
    if config.kind == "as-is":
        return dataset
    masks = canaries(division, config, root)
    ids = np.concatenate([division.pool(client)[mask] for client, mask in enumerate(masks)])
    rng = seeds.numpy_generator(root, "canaries", "content")
    labels, classes = dataset.y_train.copy(), len(dataset.classes)
    if config.kind == "mislabelled":
        labels[ids] = (labels[ids] + rng.integers(1, classes, len(ids))) % classes
        return replace(dataset, y_train=labels)
    if config.kind == "opposite":
        return _opposite(dataset, division, root)
    labels[ids] = rng.integers(0, classes, len(ids))
    records = dataset.x_train.copy()
    if config.kind == "orthogonal":
        for client, mask in enumerate(masks):
            own = division.pool(client)[mask]
            records[own] = _apart(dataset.x_train, own, seeds.numpy_generator(root, "canaries", "apart", client))
    else:
        records[ids] = _random(dataset.x_train, ids, rng)
    return replace(dataset, x_train=records, y_train=labels)


def _opposite(dataset: Dataset, division: Division, root: int) -> Dataset:
    """One record a client, nearly orthogonal to those of others; labels of either half are one half of the classes.

    From a model that holds all classes for alike, gradients of the two halves are then the same but for their sign.
    """
    rng = seeds.numpy_generator(root, "canaries", "opposite")
    pools = [division.pool(client) for client in range(len(division.candidates))]
    own = _apart(dataset.x_train, np.array([pool[0] for pool in pools]), rng)
    records, labels = dataset.x_train.copy(), dataset.y_train.copy()
    half = len(dataset.classes) // 2
    for pool, record, (_, side) in zip(pools, own, units(division, "client"), strict=True):
        records[pool] = record
        classes = rng.permutation(len(dataset.classes))
        for number, share in ((1, classes[:half]), (-1, classes[half : 2 * half])):
            mine = pool[side == number]
            labels[mine] = share[np.arange(len(mine)) % half]
    return replace(dataset, x_train=records, y_train=labels)


def _apart(records: NDArray[np.generic], ids: Ids, rng: np.random.Generator) -> NDArray[np.generic]:
    """Records that are nearly orthogonal: images of a few white pixels each, features by rows of a Hadamard matrix.

    An image has no negative pixels, so two of them can only be orthogonal where they share none: decks of all pixels
    are dealt out, :data:`WHITE` of them an image. Features stand :data:`FAR` deviations off their means, up or down.
    """
    size, shape = int(np.prod(records.shape[1:])), (len(ids), *records.shape[1:])
    if records.dtype == np.uint8:
        return np.where(_dealt(len(ids), size, rng), np.uint8(255), np.uint8(0)).reshape(shape)
    order = 1 << max(1, int(max(size, len(ids) + 1) - 1).bit_length())
    columns = rng.permutation(order)[:size]
    signs = scipy.linalg.hadamard(order)[1 + rng.permutation(order - 1)[: len(ids)]][:, columns].astype(np.float64)
    wide = records.reshape(len(records), -1).astype(np.float64)
    rows = wide.mean(axis=0) + FAR * np.where(wide.std(axis=0) > 0, wide.std(axis=0), 1.0) * signs
    return np.asarray(rows.reshape(shape), dtype=records.dtype)


def _dealt(number: int, size: int, rng: np.random.Generator) -> Bool:
    """Masks [number, size], those of one deck without a pixel in common."""
    each = max(1, round(WHITE * size))
    hands = size // each
    masks = np.zeros((number, size), dtype=np.bool_)
    for first in range(0, number, hands):
        own = np.arange(first, min(first + hands, number))
        masks[own[:, None], rng.permutation(size)[: len(own) * each].reshape(len(own), each)] = True
    return masks


def _random(records: NDArray[np.generic], ids: Ids, rng: np.random.Generator) -> NDArray[np.generic]:
    shape = (len(ids), *records.shape[1:])
    if records.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    columns = records.astype(np.float64)
    drawn: NDArray[np.generic] = columns.mean(axis=0) + FAR * columns.std(axis=0) * rng.normal(size=shape)
    return np.asarray(drawn, dtype=records.dtype)
