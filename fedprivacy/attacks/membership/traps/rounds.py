"""When traps are laid and when they are read, from what the honest run sent: no protocol is asked.

A layer that the server sent to a client comes back trained in that client's next message that holds the layer. So the
server forges its last message of the layer before the client's last, and reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.transcript import Transcript

TOO_SHORT = (
    "no client was sent a layer that can hold traps and returned it in a later round: a server that wants to lay some "
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


@dataclass(frozen=True)
class Travels:
    """Rounds in which a layer went down to each client, and in which it came up from each."""

    down: dict[int, list[int]]
    up: dict[int, list[int]]

    def last_episode(self) -> Episode:
        """The latest in which every client that can be read returns the layer. ValueError where nobody does."""
        pairs = []
        for client, returned in self.up.items():
            sent = self.down.get(client, [])
            later = [up for up in returned if any(down < up for down in sent)]
            if later:
                pairs.append((max(down for down in sent if down < later[-1]), later[-1]))
        return _spanned(pairs)

    def episode_of(self, trained: int) -> Episode:
        """That in which what clients train on in round ``trained`` is read. ValueError where nobody returns it."""
        pairs = []
        for client, returned in self.up.items():
            before = [down for down in self.down.get(client, []) if down < trained]
            after = [up for up in returned if up >= trained]
            if before and after:
                pairs.append((before[-1], after[0]))
        return _spanned(pairs)

    def beginning(self, episode: Episode) -> Episode:
        """``episode``, begun early enough that what travels here is forged too, where it travels at other times."""
        before = [[down for down in sent if down <= episode.laid] for sent in self.down.values()]
        return replace(episode, first=min([episode.first, *(sent[-1] for sent in before if sent)]))


def travels(transcript: Transcript, tensors: Callable[[int], Collection[str]]) -> Travels:
    """How a layer travelled in a run, masked messages included; ``tensors``: its tensors' names by client."""
    found = Travels({}, {})
    content: dict[str, frozenset[str]] = {}
    for message in transcript.messages:
        to_client = message.sender == SERVER
        client = client_index(message.receiver if to_client else message.sender)
        if message.digest not in content:
            content[message.digest] = frozenset(getattr(transcript.payload(message), "tensors", {}))
        if not content[message.digest].issuperset(tensors(client)):
            continue
        rounds = (found.down if to_client else found.up).setdefault(client, [])
        if rounds[-1:] != [message.round]:
            rounds.append(message.round)
    return found


def _spanned(pairs: list[tuple[int, int]]) -> Episode:
    if not pairs:
        raise ValueError(TOO_SHORT)
    laid = min(first for first, _ in pairs)
    return Episode(laid, laid, max(last for _, last in pairs))
