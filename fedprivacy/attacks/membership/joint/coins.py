"""Updates under known noise, where all records of a client hang on one coin: the likelihood ratio of two worlds.

A claim about clients has to withstand whoever knows both halves that a client may train on (Nasr et al. 2023, arXiv
2302.07956: the adversary of a worst case). Either world is played, from the weights that were seen and through the
clipping of the defense, to the updates a_k and b_k of each client k. With noise N(0, s^2) on every entry of the mean of
K clients, and c_k = 1/2 for one half and -1/2 for the other,

    K change = sum_k (a_k + b_k) / 2 + sum_k c_k (a_k - b_k) + N(0, K^2 s^2),

so all coins are solved for at once; rounds add up, since a coin holds for all of them. Of one client alone the log-odds
are the likelihood ratio itself, the best test there is (Neyman and Pearson 1933), of several those of a normal
posterior with prior variance 1/4. What breaks it: batches whose order decides (a half in one batch has none), and
records that are not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.membership.joint.changes import Change, Sure, changes, doubts
from fedprivacy.attacks.membership.joint.coursed import player, unheard
from fedprivacy.attacks.membership.joint.simulate import World, after
from fedprivacy.data.coins import members_of, units
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import AddsNoise, NoisesReleases, prepared
from fedprivacy.federation.knowledge import Knowledge, Observed, Rules
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.wire.parties import client_index

ASSUMED = "known: both halves of every client, the start of each round, the optimiser, clip bound and noise"
DRAWN_START = (
    "known: both halves of every client, the optimiser, clip bound and noise; not the weights that each client drew "
    "for itself: others drawn the same way stand in for them"
)
PRIOR = 0.25
"""Variance of a fair coin of 1/2 and -1/2."""


@dataclass(eq=False)
class Equations:
    """Normal equations of the coins of ``clients``, rounds added up, in units of the noise."""

    clients: int
    together: bool = False
    gram: Float = field(init=False)
    sides: Float = field(init=False)

    def __post_init__(self) -> None:
        self.gram, self.sides = np.zeros((self.clients, self.clients)), np.zeros(self.clients)

    def add(self, change: Change, ends: tuple[dict[int, Tensor], dict[int, Tensor]], deviation: float) -> None:
        """One ``change`` by the mean of its clients, with what each sends in either world (flat, by client)."""
        own, heads = list(change.clients), len(change.clients)
        moved = flat({name: change.end[name] - start for name, start in change.start.items()})
        apart = torch.stack([ends[0][client] - ends[1][client] for client in own])
        middle = torch.stack([ends[0][client] + ends[1][client] for client in own]).sum(dim=0) / 2
        precision = 1 / (heads * deviation) ** 2
        place = np.ix_(own, own)
        self.gram[place] += precision * (apart @ apart.T).numpy()
        self.sides[own] += precision * (apart @ (heads * moved - middle)).numpy()
        self.together |= heads > 1

    def log_odds(self) -> Float:
        """Of every client's coin [clients]."""
        inverse = np.linalg.inv(self.gram + np.eye(self.clients) / PRIOR)
        return np.asarray((inverse @ self.sides) / np.diagonal(inverse))


@dataclass(frozen=True)
class CoinUpdates:
    """Sources are the clients, or one for all that are only seen together; all rounds are one score."""

    name: ClassVar[str] = "likelihood ratio of updates"
    alone: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """Log-odds [sources, 1, n]: those of a coin, and against the half that it leaves out. ValueError without
        rules, where the noise is not known, and where a half or whose it is is not."""
        needs_all_halves(knowledge)
        rules, protocol = player(view, knowledge)
        worlds = [_world(knowledge, rules, side) for side in (1, -1)]
        clients = knowledge.settings.clients
        found = Equations(clients)
        parts = rules.initial.parts if rules.initial is not None else {}
        start = {client: parts.get(protocol.held(client), {}) for client in range(clients)}
        seen: set[int] = set()
        sure: list[Sure] = []
        drawn = False
        mixing = protocol if isinstance(protocol, MixesModels) else None
        for change in changes(view, start, knowledge.settings, mixing):
            ends = tuple(_played(world, protocol, change) for world in worlds)
            noising: object = worlds[0].defense
            if not isinstance(noising, AddsNoise):
                raise ValueError("this reading is of updates with Gaussian noise on every entry")
            found.add(change, (ends[0], ends[1]), max(noising.noise(len(change.clients)), LEAST))
            seen |= set(change.clients)
            sure.append(change.sure)
            drawn |= rules.initial is None and any(worlds[0].kept(protocol, change, k) for k in change.clients)
        own = client_index(view.position) if view.position.startswith("client-") else None
        notes = (DRAWN_START if drawn else ASSUMED, *doubts(sure), *unheard(protocol, knowledge.settings))
        return scored(found.log_odds(), seen - {own}, knowledge, rules, notes, found.together)


LEAST = 1e-6
"""Deviation that noise which is off is taken to have."""


def needs_all_halves(knowledge: Knowledge) -> None:
    """ValueError for an adversary that has not got all records of either half, or does not know whose they are."""
    if knowledge.known is not None or knowledge.attack.owners == "unknown":
        raise ValueError(
            "a coin of a whole client is read by whoever has both of its halves; leave --known-share at 1 and "
            "--owners at known"
        )


def scored(
    odds: Float, seen: set[int], knowledge: Knowledge, rules: Rules, notes: tuple[str, ...], together: bool = False
) -> Observed:
    """Log-odds of coins [clients] as those of the candidates of clients that were ``seen``: against them for the half
    that is in where the coin falls the other way. ``together``: no source is one client's."""
    scores = np.full((1 if together else len(odds), 1, len(knowledge.candidates)), np.nan)
    first = 0
    for client, (_, side) in enumerate(units(rules.division, knowledge.wire.coins)):
        if client in seen:
            place = first + np.flatnonzero(side)
            scores[0 if together else client, 0, place] = odds[client] * side[side != 0]
        first += len(side)
    return Observed.decoded(scores, notes)


def _world(knowledge: Knowledge, rules: Rules, side: int) -> World:
    """All clients with their coin on one ``side``, under the bounds of the defense and without its noise."""
    flips = [own == side for _, own in units(rules.division, knowledge.wire.coins)]
    root, members = seeds.value(knowledge.root, "coins", side), members_of(rules.division, flips)
    env = Environment(knowledge.settings, root, knowledge.dataset, rules.division, members, knowledge.workbench)
    defense = rules.defense(env)
    state = rules.initial if rules.initial is not None else rules.protocol.init(env).state
    return World(prepared(env, defense), defense, {}, state)


def _played(world: World, protocol: TrainsLocally, change: Change) -> dict[int, Tensor]:
    """The update of each client of ``change`` as it would have left it but for the noise, flat."""
    noising: object = world.defense
    if not isinstance(noising, NoisesReleases):
        raise ValueError("this reading is of releases with noise of a known law")
    channel = world.channel(protocol, change, noising.silent())
    found = {}
    for client in change.clients:
        ended = after(world.sent(protocol, change, client, channel, world.env), change.start)
        found[client] = flat({name: ended[name] - start for name, start in change.start.items()})
    return found


def flat(part: dict[str, Tensor]) -> Tensor:
    """All tensors by name as one vector, float64."""
    return torch.cat([part[name].double().reshape(-1) for name in sorted(part)])
