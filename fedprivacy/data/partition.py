"""How private records differ between clients: alike (iid), skewed (dirichlet), few classes each (shards), or label
sets that do not overlap (tasks).

Dirichlet: Hsu et al. 2019 (arXiv 1909.06335) where every client has a given size, Yurochkin et al. 2019 (arXiv
1905.12022) where sizes are free. Shards: McMahan et al. 2017 (arXiv 1602.05629), with whole classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedprivacy.config.base import UsageError
from fedprivacy.data.records import Ids
from fedprivacy.data.strata import stratified_order

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

_REDRAWS = 20


def iid(labels: Labels, clients: int, size: int | None, rng: np.random.Generator) -> tuple[Ids, ...]:
    """Stratified random pools: ``size`` records each, or all of ``labels`` [N] in nearly equal parts.

    Returns positions in ``labels``, one array a client, disjoint. Raises ValueError where N is too small.
    """
    _enough(labels, clients, size, 1)
    order = stratified_order(labels, rng)
    if size is None:
        return tuple(np.array_split(order, clients))
    return tuple(order[client * size : (client + 1) * size] for client in range(clients))


def dirichlet(
    labels: Labels, clients: int, size: int | None, alpha: float, minimum: int, rng: np.random.Generator
) -> tuple[Ids, ...]:
    """Pools whose class proportions are drawn from a Dirichlet distribution; small ``alpha`` means skewed.

    ``size`` given: in a random order of the clients, each draws proportions p ~ Dir(alpha * C * prior), with the
    C class frequencies as the prior, and counts from Multinomial(size, p). If a class has too few records left, p
    and the counts are drawn again, at most 20 times; then the class is emptied, and what is missing is drawn from
    the other classes in proportion to p (to what is left, where p has no mass). Every pool has exactly ``size``.

    ``size`` None: each class is shared out with proportions ~ Dir(alpha) over the clients, so all records are used
    and sizes differ. While a client has fewer than ``minimum`` records all is drawn again, at most 20 times; then
    the poorest client takes random records from the richest until none is short.

    Returns positions in ``labels`` [N]; pools are disjoint, each in stratified order. Raises ValueError where N is
    too small.
    """
    _enough(labels, clients, size, minimum)
    drawn = (
        _free_sizes(labels, clients, alpha, minimum, rng)
        if size is None
        else _given_size(labels, clients, size, alpha, rng)
    )
    return tuple(pool[stratified_order(labels[pool], rng)] for pool in drawn)


def shards(
    labels: Labels, clients: int, size: int | None, classes_per_client: int, rng: np.random.Generator
) -> tuple[Ids, ...]:
    """Pools that hold exactly ``classes_per_client`` classes in nearly equal numbers.

    The clients * classes_per_client places are given to the classes one by one, each to the class with the most
    records a place, at most ``clients`` places a class; clients in a random order then take the classes with the
    most places left, ties at random. ``size`` given: a pool has exactly ``size`` records; a remainder of
    size / classes_per_client goes to the client's classes with the most records to spare. None: each class is
    shared out equally among its holders, so sizes differ; with fewer places than classes some classes stay unused.

    Returns positions in ``labels`` [N]; pools are disjoint, each in stratified order. Raises :class:`UsageError`
    where a client cannot have that many classes, or its classes hold too few records.
    """
    _enough(labels, clients, size, classes_per_client)
    stacks = _by_class(labels, rng)
    held = _holders(np.array([len(stack) for stack in stacks]), clients, classes_per_client, rng)
    return _of_classes("shards", labels, stacks, held, size, rng)


def tasks(
    labels: Labels, clients: int, size: int | None, classes_per_client: int, rng: np.random.Generator
) -> tuple[Ids, ...]:
    """Pools of disjoint label sets: two clients hold the same classes, or none in common.

    The classes, in a random order, are cut into nearly equal sets of at most ``classes_per_client``; the clients take
    the sets in turn, so that a set may have several holders, and with fewer clients than sets some classes stay
    unused. ``size``, result and errors as of :func:`shards`.
    """
    _enough(labels, clients, size, classes_per_client)
    stacks = _by_class(labels, rng)
    _at_most(classes_per_client, len(stacks))
    sets = np.array_split(rng.permutation(len(stacks)), -(-len(stacks) // classes_per_client))
    return _of_classes("tasks", labels, stacks, [sets[client % len(sets)] for client in range(clients)], size, rng)


def _of_classes(
    name: str, labels: Labels, stacks: list[Ids], held: list[Ids], size: int | None, rng: np.random.Generator
) -> tuple[Ids, ...]:
    """Pools of the classes that each client has ``held``, in nearly equal numbers; see :func:`shards`."""
    most = max(map(len, held))
    if size is not None and size < most:
        raise UsageError(f"{size} records a client cannot cover {most} classes; raise candidates.")
    demand = np.zeros((len(held), len(stacks)), dtype=np.int64)
    for client, mine in enumerate(held):
        demand[client, mine] = 1 if size is None else size // len(mine)
    if size is not None:
        spare = np.array([len(stack) for stack in stacks]) - demand.sum(axis=0)
        for client in rng.permutation(len(held)):
            extra = sorted(held[client], key=lambda number: -spare[number])[: size % len(held[client])]
            demand[client, extra] += 1
            spare[extra] -= 1
    for number, stack in enumerate(stacks):
        needed, holders = int(demand[:, number].sum()), np.flatnonzero(demand[:, number])
        if needed > len(stack):
            raise UsageError(
                f"partition '{name}': a class of {len(stack):,} records is shared by {len(holders):,} clients, which "
                f"need {needed:,}; lower candidates or clients, or choose another classes_per_client."
            )
        if size is None and len(holders):
            demand[holders, number] = [len(part) for part in np.array_split(stack, len(holders))]
    drawn = _deal(stacks, demand)
    return tuple(pool[stratified_order(labels[pool], rng)] for pool in drawn)


def _enough(labels: Labels, clients: int, size: int | None, minimum: int) -> None:
    needed = clients * (minimum if size is None else size)
    if clients < 1 or needed > len(labels):
        raise ValueError(f"{clients} clients need {needed} records, there are {len(labels)}")


def _by_class(labels: Labels, rng: np.random.Generator) -> list[Ids]:
    """The positions of each class that occurs, shuffled."""
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _deal(stacks: list[Ids], counts: NDArray[np.int64]) -> list[Ids]:
    """Hand out ``counts`` [clients, classes] records from the front of each class."""
    ends = np.cumsum(counts, axis=0)
    return [
        np.concatenate([stack[ends[k, c] - counts[k, c] : ends[k, c]] for c, stack in enumerate(stacks)])
        for k in range(len(counts))
    ]


def _given_size(labels: Labels, clients: int, size: int, alpha: float, rng: np.random.Generator) -> list[Ids]:
    stacks = _by_class(labels, rng)
    left = np.array([len(stack) for stack in stacks])
    concentration = alpha * left * (len(left) / left.sum())
    counts = np.zeros((clients, len(stacks)), dtype=np.int64)
    for client in rng.permutation(clients):
        for _ in range(_REDRAWS):
            share = proportions(concentration, rng)
            wanted = rng.multinomial(size, share)
            if (wanted <= left).all():
                break
        counts[client] = _within(wanted, share, left, rng)
        left = left - counts[client]
    return _deal(stacks, counts)


def _within(wanted: Ids, share: Floats, left: Ids, rng: np.random.Generator) -> Ids:
    """``wanted`` counts cut to what is ``left``; what is missing is drawn from the classes that have more."""
    taken = np.minimum(wanted, left)
    while (missing := int(wanted.sum() - taken.sum())) > 0:
        room = left - taken
        weight = np.where(room > 0, share, 0.0)
        if not weight.sum() > 0:
            weight = room.astype(np.float64)
        taken = taken + np.minimum(rng.multinomial(missing, weight / weight.sum()), room)
    return taken


def _free_sizes(labels: Labels, clients: int, alpha: float, minimum: int, rng: np.random.Generator) -> list[Ids]:
    stacks = _by_class(labels, rng)
    for _ in range(_REDRAWS):
        counts = np.stack(
            [rng.multinomial(len(stack), proportions(np.full(clients, alpha), rng)) for stack in stacks], axis=1
        )
        if counts.sum(axis=1).min() >= minimum:
            return _deal(stacks, counts)
    pools = [rng.permutation(pool) for pool in _deal(stacks, counts)]
    sizes = np.array([len(pool) for pool in pools])
    while sizes.min() < minimum:
        poor, rich = int(sizes.argmin()), int(sizes.argmax())
        amount = min(minimum - sizes[poor], sizes[rich] - minimum)
        pools[poor] = np.concatenate([pools[poor], pools[rich][:amount]])
        pools[rich] = pools[rich][amount:]
        sizes[poor] += amount
        sizes[rich] -= amount
    return pools


def proportions(concentration: Floats, rng: np.random.Generator) -> Floats:
    """One draw from Dir(``concentration``) [C]; one class alone where the draw underflows."""
    drawn = rng.dirichlet(np.maximum(concentration, 1e-12))
    if np.isfinite(drawn).all() and abs(drawn.sum() - 1) < 1e-6:
        return np.asarray(drawn / drawn.sum(), dtype=np.float64)
    alone = np.zeros(len(concentration))
    alone[rng.choice(len(concentration), p=concentration / concentration.sum())] = 1.0
    return alone


def _at_most(each: int, classes: int) -> None:
    if each > classes:
        raise UsageError(f"classes_per_client is {each}, but the data set has {classes} classes; lower it.")


def _holders(sizes: Ids, clients: int, each: int, rng: np.random.Generator) -> list[Ids]:
    """Which classes each client holds: ``each`` different ones, as many places a class as its size deserves."""
    _at_most(each, len(sizes))
    places = np.zeros(len(sizes), dtype=np.int64)
    for _ in range(clients * each):
        places[np.argmax(np.where(places < clients, sizes / (places + 1), -1.0))] += 1
    held: list[Ids] = [np.empty(0, dtype=np.int64)] * clients
    for client in rng.permutation(clients):
        chosen = np.lexsort((rng.random(len(places)), -places))[:each]
        places[chosen] -= 1
        held[client] = chosen
    return held
