"""What crosses the wire in a round, said before any training: who sends what to whom, and what it tells of whom.

Attacks and defenses derive all that they may do from these declarations and from nothing else. Importing this costs no
torch, so that a combination that cannot work is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Sender = Literal["client", "server"]
Receivers = Literal["server", "clients", "neighbours"]
Of = Literal["own", "relay", "mean", "weighted", "mean of others", "mix"]
Reference = Literal["", "received", "start"]
Loss = Literal["labels", "labels at the start", "more"]
Rule = Literal["softmax", "power"]

PREDICTIONS = frozenset({"predictions"})
WEIGHTS = frozenset({"weights"})
UPDATES = frozenset({"update"})
MODELS = WEIGHTS | UPDATES
PROTOTYPES = frozenset({"prototypes"})


@dataclass(frozen=True)
class Sharpened:
    """What a server does to mean probabilities m [N, C]: ``softmax``: softmax(m / T); ``power``: m^b over its sum."""

    rule: Rule
    parameter: float


@dataclass(frozen=True)
class Release:
    """One kind of message that a party sends in a round, as everybody who knows the protocol knows it."""

    name: str
    """As in the privacy events: ``predictions``, ``weights``, ``accuracy``, ``n_k``."""
    kind: str
    """Kind of the payload that crosses the wire."""
    form: str = ""
    """Form of predictions that are sent."""
    times: int = 1
    """Messages with different content a round."""
    forms: frozenset[str] = frozenset()
    """All forms of predictions that the receivers can work with."""
    opened: str = ""
    """Kind of what its receivers make of it, where that is another: low-rank factors are opened into an update."""
    merged: Literal["", "mean", "weighted", "other"] = ""
    """What the server makes of the participants' messages, through the channel's ``combined``: their plain mean, a
    weighted mean, or something else; empty: it passes them on."""
    known_start: bool = False
    """The weights that the channel holds for the sender when the round begins are known to the receiver, so that what
    is sent is worth exactly its change since then."""
    sender: Sender = "client"
    receivers: Receivers = "server"
    """``clients``: all of them; ``neighbours``: other clients, without a server."""
    edges: frozenset[tuple[int, int]] = frozenset()
    """Which clients are neighbours, the lower number first; empty, where they are not told: all may be."""
    of: Of = "own"
    """Whose knowledge it carries. ``own``: of the client that sends it. ``relay``: of one client, passed on by the
    server under its name. ``mean``, ``weighted``: the plain or weighted mean of what the round's senders sent.
    ``mean of others``: that without the receiver's own. ``mix``: of many in another way."""
    architecture: str = ""
    """Architecture of a model that travels in the place of the sender's own; empty: it is the sender's own."""
    slot: str = ""
    """What the travelling model is called beside its owner's own, where it has a name."""
    whole_after: int | None = 1
    """Rounds until every tensor of a model has been sent once; None: some never are."""
    reference: Reference = ""
    """The weights that the sender's training started from, where others know them. ``received``: those that it last
    received, before that the common start; ``start``: the common start, so for its first message alone; empty: its
    receivers do not know."""
    loss: Loss = "more"
    """What local training minimises, as far as an observer may assume. ``labels``: cross-entropy of the private records
    alone; ``labels at the start``: with a further term whose gradient is zero at the weights it starts from; ``more``:
    with further terms or on further records."""
    by_course: bool = False
    """Where among the sender's training on its own and on public records it is sent, the protocol's course says
    (``federation.course.Upload``): whoever knows what the sender was told can play it up to there."""
    in_turn: bool = False
    """Clients act one after the other in a round, by their number: whoever has acted sends the same kind of message
    anew, and those after it alone are told."""
    steps_known: bool = True
    """Whether the number of local steps follows from the settings."""
    named_batches: bool = False
    """Whether a protocol from outside draws the records of each local step by the named seeds of its settings, as all
    of ours do."""
    trained_as_told: bool = True
    """Whether everybody knows how the sender trains: its optimiser, learning rate, batches and epochs."""
    start_told: bool = True
    """Whether everybody is told the common start, where the settings have one."""
    hold: float = 0.0
    """Weight mu of the proximal term ``mu/2 ||w - start||^2`` in the sender's loss."""
    pull: float = 0.0
    """Weight of the squared distance to received class prototypes in the sender's loss."""
    by_job: bool = False
    """Clients work at their own speed, so that a client's messages are counted and not its rounds."""
    answers_queries: bool = False
    """The sender works on records that the receiver chooses: it answers what it is asked."""
    fixed_fold: bool = False
    """It is asked about the same records in every round."""
    trains_what_it_is_sent: bool = False
    """The sender trains whatever weights it is sent, and sends what became of them."""
    sharpened: Sharpened | None = None
    """What the server did to a mean of probabilities before it sent it."""

    @property
    def reads(self) -> str:
        """Kind of what its receivers work with, and so of what an attack reads."""
        return self.opened or self.kind

    @property
    def alone(self) -> bool:
        """Whether it speaks of one client."""
        return self.of in ("own", "relay")


@dataclass(frozen=True)
class Defended:
    """What a defense does to releases, as far as it changes what their receivers can do with them."""

    hides_each: bool = False
    """Only the sum over a round's senders can be read."""
    merges: bool = False
    """A trusted party takes the server's place where messages are merged, and changes what it makes of them."""
    rescales: bool = False
    """Updates are clipped or trained with noise: their scale is not that of the learning rate."""
    noised_steps: bool = False
    """Every step of local training sums clipped gradients and adds noise of a known deviation."""
    head_alone: bool = False
    """Local training moves the last layer alone."""
    cuts: bool = False
    """Some coordinates are set to zero."""
    noised_releases: bool = False
    """Everything that a client sends is bounded, and noise of a known law added to every entry of it."""


UNDEFENDED = Defended()


def of_clients(releases: Iterable[Release]) -> tuple[Release, ...]:
    """What each participant sends in one round, all of it: what a defense acts on."""
    return tuple(release for release in releases if release.sender == "client")
