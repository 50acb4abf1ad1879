"""Leakage by AUC and TPR at low FPR: a table an adversary and observation, pooled first, then by client.

The measures are those of Carlini et al., "Membership Inference Attacks From First Principles" (2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Block, Layouts, Line
from fedprivacy.reporting.findings import (
    Group,
    client_key,
    headline_statistics,
    is_client,
    is_null,
    is_selected,
    metric_name,
    of_statistic,
)
from fedprivacy.reporting.sections.rate_table import (
    HEADLINE,
    NO_CAUSE,
    Entry,
    RateTable,
    metrics_of,
)
from fedprivacy.reporting.text import clean, counted, levels, listed

MANY_CLIENTS = 12


def group_blocks(group: Group) -> list[Block]:
    """Tables of the AUC and TPR findings of one adversary and observation.

    Where pooled targets exist, clients are shown for the headline statistic alone; failures of any statistic are
    always told.
    """
    declared = headline_statistics(group.findings)
    names = dict.fromkeys(f.statistic for f in group.findings)
    statistics = sorted(names, key=lambda name: (name not in declared, is_null(name)))
    alike = _alike(group, statistics)
    statistics = [name for name in statistics if name not in alike]
    targets = list(dict.fromkeys(f.target for f in group.findings))
    shared = [target for target in targets if not is_client(target)]
    clients = sorted((target for target in targets if is_client(target)), key=client_key)
    place = f"{clean(group.adversary)}, observing {clean(group.observation)}"
    blocks: list[Block] = []
    if shared:
        blocks.append(_pooled([_entry(group, name, target) for name in statistics for target in shared], place))
    if clients:
        told = {f.statistic for f in group.findings if f.target in clients}
        chosen = [name for name in statistics if name in told and (name in declared or not shared)]
        chosen = chosen or [name for name in statistics if name in told][:1]
        blocks.append(_by_client(group, chosen, clients, place))
    compared = sum(not is_null(name) and not is_selected(name) for name in statistics)
    for kept in dict.fromkeys(alike.values()):
        others = [clean(name) for name, same in alike.items() if same == kept]
        blocks.append(Line(f"{listed(others)}: the same numbers as {clean(kept)} here, not shown again.", "quiet"))
    knows = dict.fromkeys(clean(f.knowledge) for f in group.findings if f.knowledge)
    blocks += [Line(f"{clean(group.adversary)} knows {known}.", "quiet") for known in knows]
    if compared > 1:
        words = f"{compared} statistics are compared here, and the best of them is a selection."
        end = f" Only the headline ({HEADLINE}) was declared before the run." if declared else ""
        blocks.append(Line(words + end, "quiet"))
    return blocks


def _alike(group: Group, statistics: Sequence[str]) -> dict[str, str]:
    """Statistics with every number of an earlier one: with these references they order the candidates alike."""
    first: dict[object, str] = {}
    found: dict[str, str] = {}
    for name in statistics:
        own = [f for f in group.findings if f.statistic == name]
        if is_null(name) or is_selected(name) or any(f.value is None and f.flag == "error" for f in own):
            continue
        key = tuple(sorted((f.target, f.metric, str(f.value), str(f.low), str(f.high)) for f in own))
        if first.setdefault(key, name) != name:
            found[name] = first[key]
    return found


def _entry(group: Group, statistic: str, target: str) -> Entry:
    declared = statistic in headline_statistics(group.findings)
    return Entry(statistic, target, declared, of_statistic(group.findings, statistic, target))


def _pooled(entries: Sequence[Entry], place: str) -> Layouts:
    entries = [entry for entry in entries if entry.rates]
    targets = list(dict.fromkeys(entry.target for entry in entries))
    words = [place, *([clean(targets[0])] if len(targets) == 1 else []), *_records(entries), _levels(entries)]
    differ = not _records(entries)
    return RateTable(entries, "; ".join(words), (), True, len(targets) > 1 or differ, differ).layouts()


def _by_client(group: Group, statistics: Sequence[str], clients: Sequence[str], place: str) -> Layouts:
    entries: list[Entry] = []
    notes: list[str] = []
    for name in statistics:
        found = [entry for entry in (_entry(group, name, client) for client in clients) if entry.rates]
        kept, said = _extremes(found)
        entries += kept
        notes += [line for line in said if line not in notes]
    others = dict.fromkeys(f.statistic for f in group.findings if f.statistic not in statistics)
    notes += [line for name in others for line in _failures(_entry(group, name, client) for client in clients)]
    which = f"by client, {'headline statistic' if entries[0].headline else 'statistic'} {clean(statistics[0])}"
    one = len(statistics) == 1
    words = [place, which if one else "by client", *_records(entries), _levels(entries)]
    differ = not _records(entries)
    return RateTable(entries, "; ".join(words), notes, not one, True, differ).layouts()


def _extremes(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """All entries of a few clients; of many those with the lowest, median and highest first metric, and failures."""
    if len(entries) <= MANY_CLIENTS:
        note = "The highest of several clients is a selection; its interval is not corrected for that."
        return list(entries), [note] if len(entries) > 1 else []
    metric = metrics_of(entries)[0]
    ranked = sorted(
        (entry for entry in entries if _value(entry, metric) is not None),
        key=lambda e: _value(e, metric) or 0.0,
    )
    notes = _failures(entries)
    if not ranked:
        return list(entries[:1]), [f"The first of {counted(len(entries), 'client')}.", *notes]
    words = f"Lowest, median and highest {metric_name(metric)} of {counted(len(entries), 'client')}"
    notes.insert(0, f"{words}: a selection, for which no interval is corrected. All are in result.json.")
    places = {0: "lowest", (len(ranked) - 1) // 2: "median", len(ranked) - 1: "highest"}
    return [replace(ranked[place], remark=word) for place, word in places.items()], notes


def _value(entry: Entry, metric: str) -> float | None:
    return entry.rates[metric].value if metric in entry.rates else None


def _failures(entries: Iterable[Entry]) -> list[str]:
    """One line a statistic and cause, with the clients where it failed."""
    causes: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        for note in {finding.note for finding in entry.rates.values() if finding.flag == "error"}:
            causes.setdefault((clean(entry.statistic), clean(note) or NO_CAUSE), []).append(clean(entry.target))
    return [f"{name} failed at {listed(where)}: {why}" for (name, why), where in sorted(causes.items())]


def _records(entries: Sequence[Entry]) -> list[str]:
    """Members and non-members, if they are the same everywhere and known."""
    found: list[Finding] = [finding for entry in entries for finding in entry.rates.values()]
    sizes = {(f.members, f.non_members) for f in found}
    if len(sizes) > 1:
        return []
    members, non_members = next(iter(sizes))
    if members is None or non_members is None:
        return [counted(found[0].n, "record")]
    return [f"{counted(members, 'member')}, {counted(non_members, 'non-member')}"]


def _levels(entries: Sequence[Entry]) -> str:
    return f"{levels(finding.level for entry in entries for finding in entry.rates.values())} intervals"
