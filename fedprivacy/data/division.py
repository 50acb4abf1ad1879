"""Who holds which training record: pools of candidates, public folds, auxiliary and warm-up records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data import partition
from fedprivacy.data.folds import stratified_folds
from fedprivacy.data.needs import Needs, fold_for, private_sizes, trained_part
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.data.strata import stratified_order


def divide(dataset: Dataset, config: DataConfig, clients: int, rounds: int, root: int) -> Division:
    """Give every role its own records; the same arguments give the same division.

    Layout ``pools``: the warm-up, public and auxiliary records are stratified draws from the whole training set, and
    the clients' pools come from the rest by ``partition``. ``candidates`` counts candidates: with ``validation``
    each private fold gets that share of further records, its last part. Under the iid partition the pools do not
    change when only the sizes of the other roles do.

    Layout ``folds``: Gupta's (clients + 1) * rounds + 1 folds of all records but the auxiliary ones, taken from the
    end: one to warm up, then in each round one a client and one public. ``candidates``, ``public_size`` and
    ``warmup`` are not used; schedule ``whole`` joins a client's folds, and a static public set repeats the first
    public fold and leaves the others unused.

    Raises :class:`UsageError` that counts where the training set is too small.
    """
    division = _pools if config.layout == "pools" else _folds
    return division(dataset, config, clients, rounds, root)


def _pools(dataset: Dataset, config: DataConfig, clients: int, rounds: int, root: int) -> Division:
    needs = Needs.of(config, clients, rounds)
    needs.hold(dataset.name, len(dataset.y_train))
    order = stratified_order(dataset.y_train, seeds.numpy_generator(root, "division", "order"))
    order, warmup = _from_end(order, config.warmup)
    public: list[Ids] = []
    for _ in range(needs.public_folds):
        order, fold = _from_end(order, config.public_size)
        public.append(fold)
    order, auxiliary = _from_end(order, config.auxiliary)
    private = _private(dataset.y_train, order, config, clients, needs, root)
    split = [_cut(pool, config, 1 if config.schedule == "whole" else rounds) for pool in private]
    return Division(
        warmup=warmup,
        candidates=tuple(candidates for candidates, _ in split),
        validation=tuple(validation for _, validation in split),
        public=tuple(public) if config.public_set == "dynamic" else tuple(public) * rounds,
        auxiliary=auxiliary,
    )


def _from_end(order: Ids, count: int) -> tuple[Ids, Ids]:
    border = len(order) - count
    return order[:border], order[border:]


def _private(
    labels: NDArray[np.int64], rest: Ids, config: DataConfig, clients: int, needs: Needs, root: int
) -> tuple[Ids, ...]:
    size, minimum = needs.private, needs.smallest_private
    if config.partition == "iid":
        if size is None:
            return tuple(np.array_split(rest, clients))
        return tuple(rest[client * size : (client + 1) * size] for client in range(clients))
    rng = seeds.numpy_generator(root, "division", config.partition)
    if config.partition == "dirichlet":
        pools = partition.dirichlet(labels[rest], clients, size, config.alpha, minimum, rng)
    else:
        drawn = partition.shards if config.partition == "shards" else partition.tasks
        pools = drawn(labels[rest], clients, size, config.classes_per_client, rng)
        if (short := min(map(len, pools))) < minimum:
            raise UsageError(
                f"partition '{config.partition}' leaves a client {short} private records, but this run needs at least "
                f"{minimum} a client; lower clients or rounds, or raise classes_per_client."
            )
    return tuple(rest[pool] for pool in pools)


def _cut(pool: Ids, config: DataConfig, folds: int) -> tuple[tuple[Ids, ...], tuple[Ids, ...]]:
    """A client's private records in ``folds`` folds, each in candidates and, at its end, validation."""
    if config.candidates is None:
        parts: Sequence[Ids] = np.array_split(pool, folds)
    else:
        parts = np.split(pool, np.cumsum(private_sizes(config.candidates, folds, config.validation))[:-1])
    return _validated(parts, config.validation)


def _validated(folds: Sequence[Ids], validation: float) -> tuple[tuple[Ids, ...], tuple[Ids, ...]]:
    borders = [trained_part(len(fold), validation) for fold in folds]
    return (
        tuple(fold[:border] for fold, border in zip(folds, borders, strict=True)),
        tuple(fold[border:] for fold, border in zip(folds, borders, strict=True)),
    )


def _folds(dataset: Dataset, config: DataConfig, clients: int, rounds: int, root: int) -> Division:
    labels = dataset.y_train
    count = (clients + 1) * rounds + 1
    rest = np.arange(len(labels))
    auxiliary = rest[:0]
    if config.auxiliary:
        order = stratified_order(labels, seeds.numpy_generator(root, "division", "order"))
        border = max(0, len(order) - config.auxiliary)
        rest, auxiliary = np.sort(order[:border]), order[border:]
    folds = [rest[f] for f in stratified_folds(labels[rest], count, seeds.numpy_generator(root, "division", "folds"))]
    smallest, needed = min(map(len, folds), default=0), fold_for(1, config.validation)
    if smallest < needed:
        raise UsageError(
            f"layout 'folds' cuts {len(rest):,} records of {dataset.name} into ({clients} clients + 1) x {rounds} "
            f"rounds + 1 = {count:,} folds; the smallest would hold {smallest}, and {needed} are needed. "
            "Lower clients or rounds" + (", or auxiliary." if config.auxiliary else ".")
        )
    warmup = folds.pop()
    private: list[list[Ids]] = [[] for _ in range(clients)]
    public: list[Ids] = []
    for _ in range(rounds):
        for mine in private:
            mine.append(folds.pop())
        public.append(folds.pop())
    split = [_validated(mine, config.validation) for mine in private]
    if config.schedule == "whole":
        split = [((np.concatenate(train),), (np.concatenate(looked),)) for train, looked in split]
    return Division(
        warmup=warmup,
        candidates=tuple(candidates for candidates, _ in split),
        validation=tuple(validation for _, validation in split),
        public=tuple(public) if config.public_set == "dynamic" else (public[0],) * rounds,
        auxiliary=auxiliary,
    )
