"""Tiny federations whose clients can be followed, and what an adversary would decode of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.adversary.threat import Adversary, Bool, Int, View, view_of
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.attacks.membership.unrolled.replay import Naming
from fedprivacy.attacks.membership.unrolled.situation import Situation
from fedprivacy.federation import engine
from fedprivacy.federation.course import Fit, Private
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.metrics.roc import auc
from fedprivacy.protocols.mutual import released
from fedprivacy.study.observe import given_starts, known_candidates, rules
from fedprivacy.study.planted import plant
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Records, Seed


def seeds_of(root: int, client: int) -> Naming:
    """The names under which the protocols draw a client's batches."""

    def naming(event: Private | Fit) -> Seed:
        if isinstance(event, Fit) and event.name == "transfer":
            return root, ("client", client, "transfer")
        name = "private" if isinstance(event, Private) else event.name
        return root, ("client", client, "round", event.round, name)

    return naming


@dataclass(frozen=True, eq=False)
class Followed:
    """A finished federation: what an adversary sees and knows of it, and the coins."""

    view: View
    knowledge: Knowledge
    coins: Bool
    owner: Int

    def auc(self, observed: Observed, client: int, coins: Bool | None = None) -> float:
        """Of the scores of one client on its own candidates that were scored."""
        assert observed.scores is not None
        scores = np.nansum(observed.scores[client], axis=0)
        mine = (self.owner == client) & ~np.isnan(observed.scores[client]).all(axis=0)
        truth = (self.coins if coins is None else coins)[mine]
        return auc(scores[mine][truth], scores[mine][~truth])

    def assert_replayed(self, known: Situation, told: Sequence[Answer], client: int) -> None:
        """A replay with the true coins, orders and noise says what ``client`` was heard to say."""
        ends = np.cumsum([len(fold) for fold in known.private])[:-1]
        flips = np.split(self.coins[self.owner == client], ends)
        members = [Records(fold.x[own], fold.y[own]) for fold, own in zip(known.private, flips, strict=True)]
        found = known.replay.answers(members, known.asked, seeds_of(0, client))
        for answer in told:
            labels = torch.from_numpy(self.knowledge.dataset.y_train[known.asked_ids[answer.round]])
            same = released(found[answer.round], labels, answer.payload.form)
            torch.testing.assert_close(same, answer.payload.values, check_dtype=False)

    def mean_auc(self, observed: Observed, coins: Bool | None = None) -> float:
        return float(np.mean([self.auc(observed, client, coins) for client in np.unique(self.owner)]))


@pytest.fixture
def followed(small_config: Callable[..., Any], tmp_path: Path) -> Callable[..., Followed]:
    """Builds ``followed(protocol=..., planted=True)``: clients that overfit few records over three rounds."""
    made = 0

    def make(planted: bool = False, position: str = "server", **changes: Any) -> Followed:
        nonlocal made
        made += 1
        base: dict[str, Any] = {
            "rounds": 3,
            "data": {"candidates": 40, "public_size": 40, "auxiliary": 30},
            "training": {"local_epochs": 6, "batch_size": 8, "lr": 3e-3},
        }
        for name, value in changes.items():
            base[name] = {**base.get(name, {}), **value} if isinstance(value, dict) else value
        config = small_config(**base)
        root = config.seed
        study = resolve(config)
        env, played = study.environment(root)
        defense, where, division = study.defense(env), tmp_path / str(made), played.division
        done = engine.run(study.protocol, env, where, defense)
        ran = Ran(study, root, False, played, env, defense, done, where)
        knowledge = ran.knowledge(
            known=known_candidates(config.attack.known_share, division, root),
            rules=rules(study, env, division, initial=False),
            starts=given_starts(env),
        )
        told = plant(ran, knowledge) if planted else [done.transcript]
        owner = np.repeat(np.arange(env.clients), [len(division.pool(c)) for c in range(env.clients)])
        return Followed(view_of(told, Adversary(position)), knowledge, played.flat_coins, owner)

    return make
