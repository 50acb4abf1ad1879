"""Follows the changes in one view with simulated clients, and keeps log-odds by source and round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import Adversary, Bool, Float, View
from fedprivacy.attacks.membership.joint.along import along, denominators, undone
from fedprivacy.attacks.membership.joint.changes import Change, Sure, changes
from fedprivacy.attacks.membership.joint.decode import Decoded, decoded
from fedprivacy.attacks.membership.joint.gradients import Gradients, stacked
from fedprivacy.attacks.membership.joint.noise import weighing
from fedprivacy.attacks.membership.joint.simulate import Columns, Simulation, columns_of, joined
from fedprivacy.federation.knowledge import Knowledge, Rules
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.training.learner import Records
from fedprivacy.wire.parties import client_index


@dataclass(frozen=True)
class Grade:
    """How much is computed: simulated worlds (an even number), points of a path, changes of each source (None: all), of
    the first ``rounds`` (None: all)."""

    worlds: int
    points: int
    changes: int | None
    rounds: int | None = None


TOGETHER = -1
"""The source of changes that are those of several clients."""

GRADES = {"default": Grade(4, 2, 4), "thorough": Grade(10, 2, None)}
"""By ``attack.effort``."""


@dataclass(eq=False)
class Source:
    """One client, or all together: what was decoded of it.

    By round: ``odds`` [n] over all candidates of the game, NaN for those of others, and ``power``, the squared distance
    of in and out in the simulations. ``played`` [worlds, n]: the sum of log-odds of each simulation, by ``coins``.
    """

    played: Float
    coins: Bool
    odds: dict[int, Float] = field(default_factory=dict)
    power: dict[int, float] = field(default_factory=dict)
    number: int = 0


class Follower:
    """Decodes the changes of one view, one after the other; ``sources`` by client, :data:`TOGETHER` for several;
    ``sure``: of each change that was decoded, what is known of it."""

    def __init__(
        self, knowledge: Knowledge, rules: Rules, protocol: TrainsLocally, position: str, grade: Grade
    ) -> None:
        self.knowledge, self.rules, self.protocol, self.grade = knowledge, rules, protocol, grade
        self.own = client_index(position) if position.startswith("client-") else None
        self.position = position
        everybody = [client for client in range(knowledge.settings.clients) if client != self.own]
        self.owned = knowledge.attack.owners == "known"
        columns = {client: columns_of(knowledge, rules, client, self.owned) for client in everybody}
        self.simulation = Simulation(knowledge, rules, columns, grade.worlds, grade.points)
        self.sources: dict[int, Source] = {}
        self.sure: list[Sure] = []
        self.together = False
        self.left_out: set[str] = set()
        self.weighed = False

    def follow(self, view: View) -> None:
        """Decode what ``view`` shows, as far as the grade goes."""
        clients = range(self.knowledge.settings.clients)
        parts = self.rules.initial.parts if self.rules.initial is not None else {}
        start = {client: parts.get(self.protocol.held(client), {}) for client in clients}
        mixing = self.protocol if isinstance(self.protocol, MixesModels) else None
        sent = self.knowledge.wire.model
        by_job = sent is not None and sent.by_job
        for change in changes(view.until(self.grade.rounds), start, self.knowledge.settings, mixing, by_job):
            if change.clients == (self.own,) or self._is_left(change):
                continue
            if len(change.clients) > 1 and not self.together:
                self.together = True
                if not self.owned:
                    raise ValueError("a sum over clients asks for nobody's owner; leave --owners at known")
            source = self._source(change)
            source.number += 1
            if self.grade.changes is None or source.number <= self.grade.changes:
                self.sure.append(change.sure)
                self._decode(change, source)
            elif self._done():
                return

    def scores(self) -> tuple[list[int], Float]:
        """Rounds, and log-odds [sources, rounds, n]."""
        rounds = sorted({round for source in self.sources.values() for round in source.odds})
        number = 1 if self.together else self.knowledge.settings.clients
        found = np.full((number, len(rounds), len(self.knowledge.candidates)), np.nan)
        for place, source in self.sources.items():
            for round, odds in source.odds.items():
                # Where one sent alone in one round and several in another, all are one source.
                row = found[0 if self.together else place, rounds.index(round)]
                row[~np.isnan(odds)] = odds[~np.isnan(odds)]
        return rounds, found

    def _wanted(self) -> list[int]:
        """The clients that are attacked, where each is seen by itself."""
        return list(followed(Adversary(self.position), self.knowledge.wire, self.knowledge.attack.followed))

    def _is_left(self, change: Change) -> bool:
        """Whether this is of one client that nobody attacks."""
        return len(change.clients) == 1 and change.clients[0] not in self._wanted()

    def _done(self) -> bool:
        limit = self.grade.changes
        wanted = 1 if self.together else len(self._wanted())
        enough = [limit is not None and source.number >= limit for source in self.sources.values()]
        return len(enough) == wanted and all(enough)

    def _source(self, change: Change) -> Source:
        several = len(change.clients) > 1
        place = TOGETHER if several else change.clients[0]
        if place not in self.sources:
            shape = (self.grade.worlds, len(self.knowledge.candidates))
            coins = np.zeros(shape, dtype=bool)
            for client in self.simulation.columns if several else change.clients:
                columns = self.simulation.columns[client]
                for world, one in enumerate(self.simulation.worlds):
                    coins[world, columns.places[columns.judged]] = one.coins[client][columns.judged]
            self.sources[place] = Source(np.full(shape, np.nan), coins)
        return self.sources[place]

    def _decode(self, change: Change, source: Source) -> None:
        simulation = self.simulation
        played = simulation.play(change)
        fold = {c: min(change.round, len(self.rules.division.candidates[c])) - 1 for c in change.clients}
        rows = {c: simulation.columns[c].fold == fold[c] for c in change.clients}
        columns = [simulation.columns[c].only(rows[c]) for c in change.clients]
        data, bench = self.knowledge.dataset, self.knowledge.workbench
        parts = []
        for client, own in zip(change.clients, columns, strict=True):
            module = bench.module(self.knowledge.wire.travelling(client), "joint")
            records = Records(data.x_train[own.ids], data.y_train[own.ids])
            kinds = self.knowledge.settings.training.augmentation
            parts.append(along(module, played.paths[client], records, kinds, self.knowledge.root))
        found = stacked(parts)
        self.left_out |= set(found.left_out)
        names = list(change.start)
        by = denominators(list(played.paths.values()), names)
        observed = undone({name: change.start[name] - change.end[name] for name in names}, by)
        moved = [undone(one, by) for one in played.moved]
        found = found.only(frozenset(names))
        coins = np.concatenate(
            [np.stack([world.coins[c][rows[c]] for world in simulation.worlds]) for c in change.clients], axis=1
        )
        every = joined(columns)

        def result(of: Gradients, weights: Mapping[str, Tensor]) -> Decoded:
            answers = torch.stack([of.inner(undone(one, weights)).double() for one in moved])
            seen = of.inner(undone(observed, weights)).double()
            return decoded(of.gram(), seen, answers, coins, every.prior, every.judged)

        best, weights = result(found, {}), weighing(found, moved, coins)
        if weights.changes:
            used = found.only(frozenset(weights.changes)).scaled(weights.gradients)
            weighed = result(used, weights.changes)
            if weighed.power > best.power:
                best, self.weighed = weighed, True
        _keep(source, change.round, best, every, len(self.knowledge.candidates))


def _keep(source: Source, round: int, result: Decoded, columns: Columns, number: int) -> None:
    places, judged = columns.places[columns.judged], columns.judged
    odds = source.odds.setdefault(round, np.full(number, np.nan))
    odds[places] = np.nan_to_num(odds[places]) + result.scores[judged]
    source.power[round] = source.power.get(round, 0.0) + result.power
    source.played[:, places] = np.nan_to_num(source.played[:, places]) + result.simulated[:, judged]
