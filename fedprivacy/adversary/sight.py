"""What one adversary has before it, from what a protocol and a defense declare. No torch in here.

A server reads what every client sends to it, an eavesdropper all of an unencrypted channel, a client what is sent to
clients. What a defense hides in a sum is readable of nobody alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from fedprivacy.adversary.position import EAVESDROPPER, Adversary
from fedprivacy.config.canaries import Coins
from fedprivacy.config.federation import FederationSettings
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.release import MODELS, PREDICTIONS, UNDEFENDED, WEIGHTS, Defended, Release

Played = Literal["training", "answers"]


@dataclass(frozen=True)
class Wire:
    """All that crosses the wire of one federation, in which settings, and under which defense."""

    protocol: str
    """Name of the protocol, for messages to the user alone."""
    federation: FederationSettings
    releases: tuple[Release, ...]
    defended: Defended = UNDEFENDED
    defense: str = "none"
    """Name of the defense, for messages to the user alone."""
    played: tuple[Played, ...] = ("training", "answers")
    """What everybody knows well enough of a client to play it: how it trains what it is sent, how it comes to its
    answers."""
    coins: Coins = "record"
    """What one coin decides, in the game that is played on it."""

    @classmethod
    def under(
        cls,
        protocol: str,
        federation: FederationSettings,
        releases: Iterable[Release],
        defended: Defended = UNDEFENDED,
        defense: str = "none",
        played: tuple[Played, ...] = ("training", "answers"),
        coins: Coins = "record",
    ) -> Wire:
        """What is left of ``releases`` under a defense: where it merges, no mean can leave its receiver out."""
        one_mean = defended.merges or defended.hides_each
        found = (replace(r, of="mean") if one_mean and r.of == "mean of others" else r for r in releases)
        return cls(protocol, federation, tuple(found), defended, defense, played, coins)

    @property
    def one_coin_a_client(self) -> bool:
        """Whether all that a client trains on hangs on one coin."""
        data = self.federation.data
        candidates = {"record": 1, "pair": 2}.get(self.coins)
        return self.coins == "client" or (data.layout == "pools" and data.candidates == candidates)

    @property
    def silent(self) -> bool:
        """Whether nothing is sent."""
        return not self.releases

    @property
    def has_server(self) -> bool:
        """Whether anything passes a server."""
        return any(SERVER in (release.sender, release.receivers) for release in self.releases)

    @property
    def answers_queries(self) -> bool:
        """Whether the server asks each client about records of its choice, and can read its answers."""
        return any(r.answers_queries and r.receivers == SERVER and self.readable(r) for r in self.releases)

    @property
    def model(self) -> Release | None:
        """The models, or updates of one, that clients send; None where they send none."""
        return next((r for r in self.releases if r.sender == "client" and r.reads in MODELS), None)

    @property
    def start_known(self) -> bool:
        """Whether everybody knows the weights that clients begin from: sent to them, common to all, or those of a model
        that travels in the place of their own."""
        model = self.model
        if model is not None and (model.known_start or model.reference == "received"):
            return True
        told = all(release.start_told for release in self.releases)
        common = self.federation.training.init == "shared" or (model is not None and model.architecture != "")
        return told and common

    @property
    def training_known(self) -> bool:
        """Whether everybody knows how clients train."""
        return all(release.trained_as_told for release in self.releases if release.sender == "client")

    @property
    def consensus(self) -> Release | None:
        """The predictions that the server sends; None where it sends none."""
        return next((r for r in self.releases if r.sender == SERVER and r.reads in PREDICTIONS), None)

    @property
    def in_turn(self) -> bool:
        """Whether clients act one after the other in a round, and tell those after them anew."""
        return any(release.in_turn for release in self.releases)

    @property
    def heads(self) -> int | None:
        """How many clients a mean is over, as everybody knows; None where some drop out."""
        return None if self.federation.dropout_rate else self.federation.together

    @property
    def averages_whole_models(self) -> bool:
        """Whether clients send their whole models and take their mean, and nothing else but numbers is sent."""
        models = [r for r in self.releases if r.kind != "scalars"]
        own = [r for r in models if r.sender == "client"]
        return (
            bool(models)
            and all(r.reads in WEIGHTS and r.whole_after == 1 and not r.architecture for r in models)
            and all(r.receivers == SERVER for r in own)
            and all(r.of in ("mean", "weighted") for r in models if r.sender == SERVER)
        )

    def travelling(self, client: int) -> str:
        """Architecture of the model that stands behind what ``client`` sends: one that travels, or its own."""
        sent = self.model
        return (sent.architecture if sent else "") or self.federation.architecture(client)

    def readable(self, release: Release) -> bool:
        """Whether a single message of ``release`` can be read, and not only the sum over its senders."""
        return not (self.defended.hides_each and release.of == "own")

    @property
    def what_is_sent(self) -> str:
        """In one word, the first thing that clients send."""
        return self.called(frozenset())

    def called(self, kinds: Collection[str]) -> str:
        """In one word, what a claim of privacy rests on: the first of ``kinds`` that clients send, else the first."""
        own = [r for r in self.releases if r.sender == "client"]
        first = next((r for r in own if r.reads in kinds), own[0] if own else None)
        return "nothing" if first is None else _WORDS.get(first.reads, first.name)


_WORDS = {"update": "updates"}


@dataclass(frozen=True)
class Sight:
    """What ``adversary`` sees of ``wire``."""

    adversary: Adversary
    wire: Wire

    @property
    def me(self) -> int | None:
        """The client that it is."""
        position = self.adversary.position
        return client_index(position) if position.startswith("client-") else None

    @property
    def heard(self) -> tuple[int, ...]:
        """The clients of which it receives anything, alone or mixed with others; itself aside."""
        others = [client for client in range(self.wire.federation.clients) if client != self.me]
        told = [r for r in self.wire.releases if r.receivers != SERVER]
        if self.me is None or any(not r.edges for r in told):
            return tuple(others)
        edges = frozenset().union(*(r.edges for r in told))
        return tuple(client for client in others if (min(client, self.me), max(client, self.me)) in edges)

    @property
    def all_that_clients_hear(self) -> bool:
        """Whether it sees what each client is told by the server, and not the part that is its own alone.

        Of what is told in turn a client sees what those before it say; what those after it say has to be played.
        """
        return self.me is None or not any(r.of == "mean of others" for r in self.releases)

    @property
    def active_server(self) -> bool:
        """Whether it is a server that departs from the protocol."""
        return self.adversary.power == "active" and self.adversary.position == SERVER

    @property
    def releases(self) -> tuple[Release, ...]:
        """What it sends or receives."""
        if self.adversary.position == EAVESDROPPER:
            return self.wire.releases
        if self.adversary.position == SERVER:
            return tuple(r for r in self.wire.releases if SERVER in (r.sender, r.receivers))
        return tuple(r for r in self.wire.releases if r.sender == "client" or r.receivers == "clients")

    def each(self, kinds: Collection[str]) -> tuple[Release, ...]:
        """Releases of ``kinds`` that tell of single clients, itself aside."""
        found = [r for r in self.releases if r.reads in kinds and r.alone and self.wire.readable(r)]
        return tuple(r for r in found if self.me is None or not (r.of == "own" and r.receivers == SERVER))

    def together(self, kinds: Collection[str]) -> tuple[Release, ...]:
        """Releases of ``kinds`` that mix several clients."""
        return tuple(r for r in self.releases if r.reads in kinds and not r.alone)

    def whole(self, release: Release) -> bool:
        """Whether every tensor of the model has crossed the wire by the end of the run."""
        return release.whole_after is not None and release.whole_after <= self.wire.federation.rounds
