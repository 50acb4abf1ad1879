"""How many training records a configuration asks for, counted before any is handed out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.names import SOURCES


def trained_part(records: int, validation: float) -> int:
    """How many of a fold's records train, the others being its validation part: floor(n (1 - validation)), as Keras."""
    return math.floor(records * (1.0 - validation))


def fold_for(trained: int, validation: float) -> int:
    """The smallest fold of which ``trained`` records train: the inverse of :func:`trained_part`."""
    records = max(trained, math.floor(trained / (1.0 - validation)) - 1)
    while trained_part(records, validation) < trained:
        records += 1
    return records


def private_sizes(candidates: int, folds: int, validation: float) -> list[int]:
    """Records of each of a client's private folds: nearly equal parts of the candidates, each with its validation."""
    parts = [candidates // folds + (fold < candidates % folds) for fold in range(folds)]
    return [fold_for(part, validation) for part in parts]


@dataclass(frozen=True)
class Needs:
    """The records of each role under layout ``pools``.

    ``private`` is what one client holds in ``folds`` folds, candidates and validation together, or None where the
    clients share what is left; ``smallest_private`` is the least a client can work with.
    """

    clients: int
    candidates: int | None
    folds: int
    validation: float
    private: int | None
    smallest_private: int
    public_folds: int
    public_size: int
    auxiliary: int
    warmup: int

    @classmethod
    def of(cls, config: DataConfig, clients: int, rounds: int) -> Needs:
        """Count; :class:`UsageError` where a fresh fold a round would be empty."""
        folds = 1 if config.schedule == "whole" else rounds
        private = None
        if config.candidates is not None:
            if config.candidates < folds:
                raise UsageError(
                    f"schedule 'fresh' cuts {config.candidates} candidates into {folds} rounds; "
                    f"raise candidates to at least {folds}."
                )
            private = sum(private_sizes(config.candidates, folds, config.validation))
        fewest = max(2, folds)
        return cls(
            clients=clients,
            candidates=config.candidates,
            folds=folds,
            validation=config.validation,
            private=private,
            smallest_private=folds * fold_for(-(-fewest // folds), config.validation),
            public_folds=rounds if config.public_set == "dynamic" else 1,
            public_size=config.public_size,
            auxiliary=config.auxiliary,
            warmup=config.warmup,
        )

    @property
    def shared(self) -> int:
        """Records of the roles that no client owns."""
        return self.public_folds * self.public_size + self.auxiliary + self.warmup

    @property
    def total(self) -> int:
        """Records of all roles, with the smallest pools where their size is free."""
        return self.shared + self.clients * (self.smallest_private if self.private is None else self.private)

    def hold(self, name: str, available: int) -> None:
        """Raise :class:`UsageError` that counts every role where ``available`` records do not suffice."""
        if self.total > available:
            raise UsageError(
                f"This run needs {self.total:,} training records ({', '.join(self._items())}), but {name} has "
                f"{available:,} for training; {self._advice(available)}."
            )

    def _items(self) -> list[str]:
        each = self.smallest_private if self.private is None else self.private
        items = [f"private {self.clients:,} x {each:,}{' at least' if self.private is None else ''}"]
        if self.public_size:
            items.append(f"public {self.public_folds:,} x {self.public_size:,}")
        if self.auxiliary:
            items.append(f"auxiliary {self.auxiliary:,}")
        if self.warmup:
            items.append(f"warmup {self.warmup:,}")
        return items

    def _advice(self, available: int) -> str:
        """What to lower, and to what: the first setting that suffices alone and keeps at least a tenth of itself."""
        left, over = available - self.shared, self.total - available
        if self.candidates is not None:
            fewest = max(2, self.folds, self.candidates // 10)
            for fewer in range(min(self.candidates, max(0, left // self.clients)), fewest - 1, -1):
                if self.clients * sum(private_sizes(fewer, self.folds, self.validation)) <= left:
                    return f"lower candidates to {fewer:,}"
        each = self.smallest_private if self.private is None else self.private
        if left >= each:
            return f"lower clients to {left // each:,}"
        if self.public_size and (fewer := self.public_size - -(-over // self.public_folds)) > 0:
            return f"lower public_size to {fewer:,}"
        if self.auxiliary >= over:
            return f"lower auxiliary to {self.auxiliary - over:,}"
        if self.warmup >= over:
            return f"lower warmup to {self.warmup - over:,}"
        return "lower clients, candidates and public_size, and auxiliary if it is not 0"


def check(config: DataConfig, clients: int, rounds: int) -> None:
    """Raise UsageError where a set whose size is known unread cannot hold every role; passing is no promise.

    Exact duplicates and what does not suit are only left out when the records are read.
    """
    source = SOURCES.get(config.dataset)
    if source is None or not source.records:
        return
    held = source.records - round(source.records * config.test_fraction)
    available = held if config.limit is None else min(held, config.limit)
    if config.layout == "pools":
        Needs.of(config, clients, rounds).hold(config.dataset, available)
