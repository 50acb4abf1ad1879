"""When traps are laid and when they are read, from what the honest run sent: no protocol is asked.

A layer that the server sent to a client comes back trained in that client's next message that holds the layer. So the
server forges its last message of the layer before the client's last, and reads that. Clients at their own speed each
have their own last pair of such messages, and the server forges from the earliest on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.transcript import Transcript

TOO_SHORT = (
    "no client was sent a layer that can hold traps and returned it afterwards: a server that wants to lay some "
    "needs two rounds or more in which that layer travels"
)


@dataclass(frozen=True)
class Episode:
    """The server forges its messages from round ``first`` on, and reads what comes back up to round ``last``.

    In ``laid`` it first sends the layer itself; before that, at most what the layer speaks to.
    """

    first: int
    laid: int
    last: int


Passing = tuple[int, int]
"""A message: its round, and its place among all messages."""


@dataclass(frozen=True)
class Travels:
    """Messages in which a layer went down to each client, and in which it came up from each.

    ``apart``: whether it can only be read a round after it was laid.
    """

    down: dict[int, list[Passing]]
    up: dict[int, list[Passing]]
    apart: bool = False

    def last_episode(self) -> Episode:
        """The latest in which every client that can be read returns the layer. ValueError where nobody does."""
        pairs = []
        for client, returned in self.up.items():
            sent = self.down.get(client, [])
            later = [up for up in returned if any(self._before(down, up) for down in sent)]
            if later:
                pairs.append((max(down for down in sent if self._before(down, later[-1])), later[-1]))
        return _spanned(pairs)

    def episode_of(self, trained: int) -> Episode:
        """That in which what clients train on in round ``trained`` is read. ValueError where nobody returns it."""
        pairs = []
        for client, returned in self.up.items():
            before = [down for down in self.down.get(client, []) if down[0] < trained]
            after = [up for up in returned if up[0] >= trained]
            if before and after:
                pairs.append((before[-1], after[0]))
        return _spanned(pairs)

    def beginning(self, episode: Episode) -> Episode:
        """``episode``, begun early enough that what travels here is forged too, where it travels at other times."""
        before = [[round for round, _ in sent if round <= episode.laid] for sent in self.down.values()]
        return replace(episode, first=min([episode.first, *(sent[-1] for sent in before if sent)]))

    def _before(self, down: Passing, up: Passing) -> bool:
        return down[0] < up[0] if self.apart else down < up


def travels(transcript: Transcript, tensors: Callable[[int], Collection[str]], apart: bool = False) -> Travels:
    """How a layer travelled in a run, masked messages included; ``tensors``: its tensors' names by client."""
    found = Travels({}, {}, apart)
    content: dict[str, frozenset[str]] = {}
    for place, message in enumerate(transcript.messages):
        to_client = message.sender == SERVER
        client = client_index(message.receiver if to_client else message.sender)
        if message.digest not in content:
            content[message.digest] = frozenset(getattr(transcript.payload(message), "tensors", {}))
        if content[message.digest].issuperset(tensors(client)):
            (found.down if to_client else found.up).setdefault(client, []).append((message.round, place))
    return found


def _spanned(pairs: list[tuple[Passing, Passing]]) -> Episode:
    if not pairs:
        raise ValueError(TOO_SHORT)
    laid = min(down[0] for down, _ in pairs)
    return Episode(laid, laid, max(up[0] for _, up in pairs))
