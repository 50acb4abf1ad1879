"""Records a Flower federation while it runs: everything that a ServerApp sends and receives, as one recording.

A round is one exchange in which nodes send arrays back: their uploads, and then what the server sends next. What it
sends before the first is the common start. Arrays that a node holds already are not written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import flwr
import torch
from flwr.app import ArrayRecord, Message, MessageType
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore.run import Run
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.face.record import record
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.wire import Wire
from fedprivacy.flower import behaviour
from fedprivacy.flower.nodes import marked
from fedprivacy.flower.traffic import array_records, moved_bytes, numbers_of, tensors_of
from fedprivacy.recording.carrier import write_carrier
from fedprivacy.wire.parties import SERVER, client_name


def recorded(what: Any, where: str | Path, game: Deal, **settings: Any) -> Any:
    """A strategy, or a grid, that does what ``what`` does and writes a recording of ``game`` into folder ``where``.

    A strategy records from ``start`` to its end; a grid is used as ``with recorded(grid, ...) as grid:``. The nodes
    take their records by :func:`fedprivacy.flower.partition`. ``settings`` as in :func:`fedprivacy.record`: ``model``,
    ``training``, ``fresh``. Raises UsageError for anything else than a strategy or a grid.
    """
    if isinstance(what, Grid):
        return RecordingGrid(what, Path(where), game, settings)
    if isinstance(what, Strategy):
        return RecordedStrategy(what, partial(RecordingGrid, where=Path(where), game=game, settings=settings))
    raise UsageError(f"flower: recorded takes a strategy or a grid of a ServerApp, not {type(what).__name__}.")


class RecordedStrategy:
    """A strategy whose federation is recorded; all else is the strategy's own."""

    def __init__(self, strategy: Strategy, grid: partial[RecordingGrid]) -> None:
        self._strategy, self._grid = strategy, grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def start(self, grid: Grid, *args: Any, **kwargs: Any) -> Any:
        """As the strategy's own, with what it ends with told as the model to test."""
        with self._grid(grid) as recording:
            result = self._strategy.start(recording, *args, **kwargs)
            recording.ended(result.arrays)
        return result


class RecordingGrid(Grid):  # type: ignore[misc]
    """A grid that writes down what passes, in messages to nodes and in their replies."""

    def __init__(self, grid: Grid, where: Path, game: Deal, settings: Mapping[str, Any]) -> None:
        self._grid, self._where, self._game, self._settings = grid, where, game, settings
        self._clients: dict[int, int] = {}
        self._held: dict[tuple[int, str], dict[str, Tensor]] = {}
        self._open = ExitStack()
        self._wire: Wire | None = None
        self._fresh = False
        self._moved = {"up": 0, "down": 0}
        self._warnings: dict[str, None] = {}
        self._clipping = False

    def __enter__(self) -> RecordingGrid:
        self._wire = self._open.enter_context(record(self._where, self._game, **self._settings))
        return self

    def __exit__(self, *error: Any) -> None:
        self._carrier()
        self._open.__exit__(*error)

    @property
    def wire(self) -> Wire:
        """Where it is written to."""
        if self._wire is None:
            raise UsageError(
                "flower: a recorded grid is used as 'with fedprivacy.flower.recorded(grid, ...) as grid:'."
            )
        return self._wire

    def ended(self, arrays: Any) -> None:
        """Say which arrays the server ends with, so that their accuracy is told."""
        if arrays:
            self.wire.ended("global", self._read(arrays))

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._grid.get_node_ids())

    def get_nodes(self) -> Iterable[NodeInfo]:
        return list(self._grid.get_nodes())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return list(self._grid.push_messages(self._sent(messages)))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(self._grid.pull_messages(message_ids))
        self._received(replies)
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = list(self._grid.send_and_receive(self._sent(messages), timeout=timeout))
        self._received(replies)
        return replies

    def _sent(self, messages: Iterable[Message]) -> list[Message]:
        going = list(messages)
        for node in sorted({message.metadata.dst_node_id for message in going}):
            self._client(node)
        going.sort(key=lambda m: self._client(m.metadata.dst_node_id))
        told = [message for message in going if message.has_content()]
        self._down(told)
        for message in told:
            marked(message, self._client(message.metadata.dst_node_id), self._game.number)
            self._moved["down"] += moved_bytes(message.content)
        if any(message.metadata.message_type.split(".")[0] == MessageType.TRAIN for message in going):
            self._fresh = True
            if self.wire.round:
                self.wire.whole()
                self._carrier()
        return going

    def _down(self, messages: Iterable[Message]) -> None:
        """Write what is new to those who receive it; messages that share a record are one with several receivers."""
        shared: dict[tuple[str, int], tuple[dict[str, Tensor], list[int]]] = {}
        for message in messages:
            configs = message.content.config_records
            self._clipping |= any(behaviour.CLIPPING in one for one in configs.values())
            masked = behaviour.SECAGG in configs
            for purpose, arrays in array_records(message.content):
                key = purpose, id(arrays)
                tensors, receivers = shared[key] if key in shared else shared.setdefault(key, (self._read(arrays), []))
                self._warnings |= dict.fromkeys(behaviour.warnings({}, tensors, False, masked))
                client = self._client(message.metadata.dst_node_id)
                if not _same(self._held.get((client, purpose)), tensors):
                    receivers.append(client)
        for (purpose, _), (tensors, receivers) in shared.items():
            self._held |= dict.fromkeys(((client, purpose) for client in receivers), tensors)
            if not self.wire.round:
                if self.wire.start is None:
                    self.wire.started(tensors)
            elif receivers:
                names = [client_name(client) for client in receivers]
                self.wire.sent(self.wire.round, SERVER, names, weights=tensors, purpose=purpose)

    def _received(self, replies: Iterable[Message]) -> None:
        for reply in sorted(replies, key=lambda m: self._client(m.metadata.src_node_id)):
            if reply.has_content():
                self._up(reply)

    def _up(self, reply: Message) -> None:
        client, content = self._client(reply.metadata.src_node_id), reply.content
        self._moved["up"] += moved_bytes(content)
        arrays = list(array_records(content))
        if not arrays and (self._fresh or not self.wire.round):
            return
        number, self._fresh = max(1, self.wire.round + self._fresh), False
        for purpose, one in arrays:
            tensors, before = self._read(one), self._held.get((client, purpose), {})
            self._warnings |= dict.fromkeys(behaviour.warnings(before, tensors, self._clipping))
            self.wire.sent(number, client_name(client), SERVER, weights=tensors, purpose=purpose)
        for key, metrics in content.metric_records.items():
            if numbers := numbers_of(metrics):
                self.wire.sent(number, client_name(client), SERVER, scalars=numbers, purpose=key)

    def _client(self, node: int) -> int:
        """Nodes are clients in the order in which they are first met, those of one round by their number."""
        if node not in self._clients:
            if len(self._clients) == self._game.clients:
                raise UsageError(
                    f"flower: node {node} is one more than the {self._game.clients} clients of the game; deal it with "
                    "clients = the number of nodes."
                )
            self._clients[node] = len(self._clients)
        return self._clients[node]

    def _read(self, record: ArrayRecord) -> dict[str, Tensor]:
        """Arrays by name: those that Flower numbered get the names of the model, where one was given."""
        found = tensors_of(record)
        in_order = list(found) == [str(number) for number in range(len(found))]
        return self.wire.named(list(found.values())) if in_order and self._settings.get("model") else found

    def _carrier(self) -> None:
        nodes = {client_name(client): str(node) for node, client in self._clients.items()}
        if self.wire.game.number is None:
            name = f"flwr {flwr.__version__}"
            write_carrier(self._where, name, nodes, self._moved["up"], self._moved["down"], list(self._warnings))


def _same(held: Mapping[str, Tensor] | None, new: Mapping[str, Tensor]) -> bool:
    return held is not None and list(held) == list(new) and all(torch.equal(held[name], new[name]) for name in new)
