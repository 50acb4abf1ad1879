"""Canaries: candidates that an audit guesses on, changed so that training on one shows.

A mislabelled or an out-of-distribution record is fitted only by remembering it (Nasr et al. 2021, arXiv 2101.04535;
Carlini et al. 2022). Members and non-members are chosen and changed alike, without looking at the coins, so they stay
exchangeable. The source drops duplicates, and a changed record is drawn by itself, so no canary has a copy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.data.coins import Bool, units
from fedprivacy.data.records import Dataset, Division, Ids

FAR = 3.0
"""Standard deviations of random features, in those of the training records."""


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
    labels[ids] = rng.integers(0, classes, len(ids))
    records = dataset.x_train.copy()
    records[ids] = _random(dataset.x_train, ids, rng)
    return replace(dataset, x_train=records, y_train=labels)


def _random(records: NDArray[np.generic], ids: Ids, rng: np.random.Generator) -> NDArray[np.generic]:
    shape = (len(ids), *records.shape[1:])
    if records.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    columns = records.astype(np.float64)
    drawn: NDArray[np.generic] = columns.mean(axis=0) + FAR * columns.std(axis=0) * rng.normal(size=shape)
    return np.asarray(drawn, dtype=records.dtype)
