"""A protocol of ours on Flower's nodes: a ServerApp and a ClientApp, each with its own part of the same federation.

What crosses is what crosses in one process, in the same messages, bit for bit
(:mod:`fedprivacy.federation.projected`). The server writes a recording, which ``fedprivacy attack`` attacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.face.settings import configured
from fedprivacy.federation.environment import FederationState
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.recorder import begun
from fedprivacy.federation.projected import Parcel, Party
from fedprivacy.federation.tested import scored
from fedprivacy.flower.nodes import CLIENT, client_of
from fedprivacy.recording.files import MODELS, START, TRANSCRIPT
from fedprivacy.recording.transcript import FINISHED, WITH_MODELS
from fedprivacy.study.resolve import of_job
from fedprivacy.study.resolved import Study
from fedprivacy.wire.log import Log
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.transcript import Message as Logged

MAIL, STATE = "fedprivacy", "fedprivacy-party"
"""Records of a message with what arrives or leaves, and of a node's own state."""


def app(
    where: str | Path, config: str | Path | None = None, *, wait: float = 600.0, fresh: bool = False, **settings: Any
) -> tuple[ServerApp, ClientApp]:
    """The two apps of a federation; the server records it into the new folder ``where``.

    ``config``: a TOML file; ``settings`` as in :func:`fedprivacy.run`, such as ``protocol="mutual", clients=5``. Every
    party needs the same settings and data. The server waits up to ``wait`` seconds for its nodes. Raises UsageError
    for settings that do not fit, and for a protocol that runs only as a whole.
    """
    given = settings if config is None else {"config": config, **settings}
    chosen = configured(given, Path(where).parent)
    text = chosen.model_dump_json()
    protocol = of_job(text).protocol
    if not hasattr(protocol, "round") or hasattr(protocol, "whole"):
        raise UsageError(f"flower: protocol {chosen.protocol} runs as a whole; a node needs a protocol of rounds.")
    server, client = ServerApp(), ClientApp()

    @server.main()  # type: ignore[untyped-decorator]
    def main(grid: Grid, context: Context) -> None:
        serve(of_job(text), grid, Path(where), wait, fresh)

    @client.train()  # type: ignore[untyped-decorator]
    def train(message: Message, context: Context) -> Message:
        return answer(of_job(text), message, context)

    return server, client


def party(study: Study, name: str, **more: Any) -> Party:
    """One party of the federation of ``study``."""
    env, _ = study.environment(study.roots[0])
    return Party(study.protocol, env, name, study.defense(env), **more)


def serve(study: Study, grid: Grid, where: Path, wait: float, fresh: bool) -> None:
    """The server's part: deliver, collect and merge until all rounds are over; a recording in ``where``."""
    env, _ = study.environment(study.roots[0])
    game = Deal(env, coins=study.canaries.coins)
    with begun(where, game, study.federation.training.model_dump(mode="json"), fresh) as place:
        _serve(study, grid, place, wait)


def _serve(study: Study, grid: Grid, place: Path, wait: float) -> None:
    log = Log(place / TRANSCRIPT)
    me = party(study, SERVER, store=log.contents)
    _start(me.state, study.federation, place)

    def closed(outcome: RoundOutcome, messages: Sequence[Logged]) -> None:
        log.append(outcome.state.round, messages, outcome.folds, {})

    nodes = _nodes(grid, study.federation.clients, wait)
    leaving = me.advance((), closed)
    last = False
    while not last:
        last = me.over
        replies = grid.send_and_receive([_mail(k, node, leaving) for k, node in enumerate(nodes)])
        arrived: list[Parcel] = []
        for reply in sorted(replies, key=lambda m: nodes.index(m.metadata.src_node_id)):
            if reply.has_error():
                who = client_name(nodes.index(reply.metadata.src_node_id))
                raise RuntimeError(f"flower: {who} failed in round {me.state.round + 1}: {reply.error.reason}")
            arrived += parcels_of(reply.content)
        mine = [one for one in arrived if SERVER in one.receivers]
        others = [one for one in arrived if one.receivers != (SERVER,)]
        if not last and not arrived:
            raise RuntimeError(
                f"flower: nobody has anything to send in round {me.state.round + 1}, and it is not over."
            )
        leaving = others + me.advance(mine, closed)
        last = last and not leaving
    models = {f"{owner}/{n}": t.numpy() for owner, (_, part) in me.models().items() for n, t in part.items()}
    if models:
        folder.write_arrays(place / MODELS, models)
    log.append(me.state.round + 1, [], [], {FINISHED: True, WITH_MODELS: bool(models)})


def answer(study: Study, message: Message, context: Context) -> Message:
    """A node's part of one turn: take in what came, go on, and say what leaves. Its state stays with the node."""
    kept = context.state.config_records.get(STATE)
    me = party(study, client_name(client_of(message)), saved=b"" if kept is None else kept["state"])
    leaving = me.advance(parcels_of(message.content))
    context.state[STATE] = ConfigRecord({"state": me.saved()})
    content = RecordDict({MAIL: packed(leaving)})
    if me.over:
        own = {owner: model for owner, model in me.models().items() if owner == me.name}
        found = scored(own, me.env).get(me.name, {})
        content["metrics"] = MetricRecord({"rounds": me.state.round, **found})
    return Message(content, reply_to=message)


def packed(parcels: Iterable[Parcel]) -> ConfigRecord:
    """Parcels as a record."""
    all_ = list(parcels)
    columns: dict[str, Any] = {
        "round": [one.round for one in all_],
        "place": [one.place for one in all_],
        "receivers": [" ".join(one.receivers) for one in all_],
        "data": [one.data for one in all_],
    }
    return ConfigRecord({name: column for name, column in columns.items() if column})


def parcels_of(content: RecordDict) -> list[Parcel]:
    """The parcels in a message."""
    record: Mapping[str, Any] = content.config_records.get(MAIL, {})
    if "data" not in record:
        return []
    rows = zip(record["round"], record["place"], record["receivers"], record["data"], strict=True)
    return [Parcel(number, place, tuple(names.split()), data) for number, place, names, data in rows]


def _mail(client: int, node: int, parcels: Iterable[Parcel]) -> Message:
    record = packed(one for one in parcels if client_name(client) in one.receivers)
    record[CLIENT] = client
    return Message(RecordDict({MAIL: record}), dst_node_id=node, message_type=MessageType.TRAIN)


def _nodes(grid: Grid, clients: int, wait: float) -> list[int]:
    """As many nodes as clients, by number; waits for them."""
    end = time.monotonic() + wait
    while len(found := sorted(grid.get_node_ids())) < clients:
        if time.monotonic() > end:
            raise UsageError(
                f"flower: {len(found)} of {clients} nodes came within {wait:g} s; start them, or wait longer."
            )
        time.sleep(0.5)
    return found[:clients]


def _start(state: FederationState, federation: FederationSettings, place: Path) -> None:
    """Write the common start, where all begin alike."""
    parts = [state.parts.get(f"{client_name(k)}/model") for k in range(federation.clients)]
    if federation.training.init == "shared" and len(set(federation.architectures)) == 1:
        first = next((part for part in parts if part), None)
        if first is not None:
            folder.write_arrays(place / START, {name: tensor.numpy() for name, tensor in first.items()})
