"""What crossed the wire: encoded bytes in total and by round, against federated averaging of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Communication, RunResult
from fedprivacy.reporting.document import Block, Column, Line, Section, Table, row
from fedprivacy.reporting.settings import defense_name, protocol_name, setting
from fedprivacy.reporting.text import MISSING, counted, percent, size, times

MANY_ROUNDS = 12
SAME = 0.01
"""Share of the bytes up to which a run sends what averaging sends: then there is nothing to tell."""


def traffic_section(result: RunResult) -> Section:
    """Bytes up, down and of public delivery; payload against encoded; the ratio to federated averaging; by round."""
    wire = result.communication
    sent = wire.up_bytes + wire.down_bytes
    if sent + wire.public_bytes == 0:
        return Section("Bytes on the wire", (Line("Nothing crossed the wire."),))
    blocks: list[Block] = [_totals(wire, setting(result.config, "clients"))]
    blocks.append(Line(_encoding(wire)))
    if differs_from_fedavg(result):
        blocks.append(Line(against_fedavg(result), "strong"))
    if len(set(wire.per_round)) > 1:
        blocks.append(_rounds(wire.per_round))
    return Section("Bytes on the wire", tuple(blocks))


def differs_from_fedavg(result: RunResult) -> bool:
    """Whether there is anything to tell beside federated averaging: other bytes, public records, or a defense."""
    wire = result.communication
    sent = wire.up_bytes + wire.down_bytes
    return bool(defense_name(result) or wire.public_bytes or abs(sent - wire.fedavg_bytes) > SAME * sent)


def against_fedavg(result: RunResult) -> str:
    """One sentence: messages alone, and with the delivery of public records, against federated averaging."""
    wire = result.communication
    sent, public, other = wire.up_bytes + wire.down_bytes, wire.public_bytes, wire.fedavg_bytes
    if other <= 0:
        return "Federated averaging of the same model was not counted, so there is no ratio."
    models = "the same model"
    if len(set(setting(result.config, "training.client_models") or ())) > 1:
        models = "models as large, if it could average different ones,"
    words = f"FedAvg of {models} sends {size(other)}: {protocol_name(result)} sends {_ratio(other, sent)}"
    return words + (f", {_ratio(other, sent + public)} with the public records." if public else ".")


def fedavg_ratio(wire: Communication) -> float | None:
    """Bytes of federated averaging over those of the run, up and down; None where either is zero."""
    sent = wire.up_bytes + wire.down_bytes
    return wire.fedavg_bytes / sent if sent and wire.fedavg_bytes else None


def _ratio(other: int, sent: int) -> str:
    if sent == 0:
        return "nothing"
    if other == sent:
        return "as many bytes"
    ratio = max(other, sent) / min(other, sent)
    if ratio < 1.0005:
        return f"as many bytes, to within {percent(0.001)}"
    if ratio < 1.05:
        return f"{percent(ratio - 1)} {'fewer' if sent < other else 'more'} bytes"
    return f"{times(ratio)} times {'fewer' if sent < other else 'more'} bytes"


def _totals(wire: Communication, clients: object) -> Table:
    rounds = len(wire.per_round)
    directions = (
        ("up (clients to server)", wire.up_bytes),
        ("down (server to clients)", wire.down_bytes),
        ("up and down", wire.up_bytes + wire.down_bytes),
        ("public records (delivery)", wire.public_bytes),
    )
    several = isinstance(clients, int) and clients > 0
    columns = [Column("direction", fold=True), Column("total", "right"), Column("a round (mean)", "right")]
    columns += [Column("a client", "right")] if several else []
    rows = []
    for name, number in directions:
        a_round = size(number / rounds) if rounds else MISSING
        a_client = [size(number / clients)] if isinstance(clients, int) and clients > 0 else []
        rows.append(row([name, size(number), a_round, *a_client]))
    if wire.start_bytes:
        a_client = [size(wire.start_bytes / clients)] if isinstance(clients, int) and clients > 0 else []
        rows.append(row(["common model, before round 1", size(wire.start_bytes), MISSING, *a_client]))
    rounds_words = f"{counted(rounds, 'round')}, " if rounds else ""
    caption = f"Encoded messages of all clients, {rounds_words}1 MB = 1,000,000 bytes"
    return Table(tuple(columns), tuple(rows), caption)


def _encoding(wire: Communication) -> str:
    sent = wire.up_bytes + wire.down_bytes
    if not sent:
        return "No message left a client; only public records were delivered."
    headers = sent - wire.payload_bytes
    share = percent(headers / sent)
    return f"Of {size(sent)} encoded, {size(wire.payload_bytes)} is payload; headers take {share} of the bytes."


def _rounds(per_round: Sequence[tuple[int, int]]) -> Table:
    runs: list[tuple[int, int, tuple[int, int]]] = []
    for number, sent in enumerate(per_round, start=1):
        if runs and runs[-1][2] == sent:
            runs[-1] = (runs[-1][0], number, sent)
        else:
            runs.append((number, number, sent))
    notes: tuple[str, ...] = ()
    if len(runs) > MANY_ROUNDS:
        ranked = sorted(runs, key=lambda run: sum(run[2]))
        runs = sorted([ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]])
        notes = ("Rounds with the fewest, median and most bytes; all rounds are in result.json.",)
    rows = [
        row([str(first) if first == last else f"{first} to {last}", size(up), size(down)])
        for first, last, (up, down) in runs
    ]
    columns = (Column("round"), Column("up", "right"), Column("down", "right"))
    return Table(columns, tuple(rows), "Bytes by round", notes)
