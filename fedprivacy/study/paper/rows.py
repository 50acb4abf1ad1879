"""What one row of a paper's table gave over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedprivacy.judge.comparison import standings
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.study.paper.recipe import PaperRow

RATES = ("AUC", "TPR@1%FPR")
"""Membership metrics of a row that is attacked."""


@dataclass(frozen=True)
class Row:
    """What one row gave: per seed the mean over its models; ``published`` as the paper's own figures."""

    key: str
    name: str
    accuracy: tuple[float, ...]
    auc: tuple[float, ...]
    tuned: tuple[float, ...]
    spread: float
    """Standard deviation over clients, mean over seeds; 0 for one model."""
    up_bytes: int
    down_bytes: int
    public_bytes: int
    """Delivery of public records to all clients."""
    start_bytes: int
    """The common warmed-up model, sent to every client before round 1."""
    published: Mapping[str, float]
    cpu_seconds: float
    memory_mb: float
    """Largest of one federation; 0 where it was not measured."""
    clients: int
    """Over how many the bytes are shared out."""
    group: str = ""
    learned: tuple[float, ...] = ()
    """Accuracy on the private records that were trained on, by seed."""
    recall: tuple[tuple[float, ...], ...] = ()
    """By class, for two classes."""
    membership: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Membership metrics of the adversary's headline by seed; empty where nothing was attacked."""
    attack: str = ""
    """Which adversary read what, and by which statistic; each once, where its seeds differ."""
    headline: tuple[Finding, ...] = ()
    """The AUC of the adversary's headline by seed."""
    terms: tuple[str, ...] = ()
    """From which seat and with what knowledge and effort, each once: more than one where its seeds differ. Only rows of
    the same terms, in every seed, are held against each other."""


def of_summaries(row: PaperRow, clients: int, summaries: Sequence[Mapping[str, Any]]) -> Row:
    """A row from the summaries of its federations of ``clients``, one a seed."""

    def means(metric: str) -> tuple[float, ...]:
        found = [[u[metric] for u in s["utility"].values() if metric in u] for s in summaries]
        return tuple(float(np.mean(values)) for values in found if values)

    singles = [[u["accuracy"] for u in s["utility"].values()] for s in summaries]
    spreads = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in singles]
    return Row(
        row.key,
        row.name,
        means("accuracy"),
        means("auc"),
        means("tuned_accuracy"),
        float(np.mean(spreads)),
        round(float(np.mean([sum(u for u, _ in s["per_round"]) for s in summaries]))),
        round(float(np.mean([sum(d for _, d in s["per_round"]) for s in summaries]))),
        round(float(np.mean([s["public_bytes"] for s in summaries]))),
        round(float(np.mean([s["start_bytes"] for s in summaries]))),
        row.published,
        float(np.mean([s["cost"]["cpu_seconds"] for s in summaries])),
        max(float(s["cost"]["memory_mb"]) for s in summaries),
        clients,
        row.group,
        means("train_accuracy"),
        tuple(filter(None, (means("recall_0"), means("recall_1")))),
    )


def of_results(row: PaperRow, clients: int, trained: Sequence[RunResult], attacked: Sequence[RunResult]) -> Row:
    """A row that was attacked: one result of the training and one of the attack a seed, from one adversary."""

    def means(metric: str) -> tuple[float, ...]:
        return tuple(r.utility[metric].mean for r in trained if metric in r.utility)

    stands = [next(standings(result, row.name), None) for result in attacked]
    heads: list[Mapping[str, Finding]] = [{} if one is None else one.headline for one in stands]
    terms = dict.fromkeys(f"{one.seat}: {one.knowledge}" for one in stands if one is not None)
    how = dict.fromkeys(f"{f.adversary}, {f.statistic} on {f.observation}" for h in heads for f in h.values())
    singles = [list(r.utility["test_accuracy"].per_client.values()) for r in trained]
    wire = [r.communication for r in trained]
    return Row(
        row.key,
        row.name,
        means("test_accuracy"),
        means("test_auc"),
        means("test_tuned_accuracy"),
        float(np.mean([np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in singles])),
        round(float(np.mean([w.up_bytes for w in wire]))),
        round(float(np.mean([w.down_bytes for w in wire]))),
        round(float(np.mean([w.public_bytes for w in wire]))),
        round(float(np.mean([w.start_bytes for w in wire]))),
        row.published,
        sum(r.provenance.cpu_seconds for r in [*trained, *attacked]) / len(trained),
        0.0,
        clients,
        row.group,
        means("train_accuracy"),
        tuple(filter(None, (means("test_recall_0"), means("test_recall_1")))),
        {name: _values([head.get(name) for head in heads]) for name in RATES},
        "; ".join(how),
        tuple(head["AUC"] for head in heads if "AUC" in head),
        tuple(terms),
    )


def _values(findings: Sequence[Finding | None]) -> tuple[float, ...]:
    """By seed; empty where some seed gave no number."""
    known = tuple(f.value for f in findings if f is not None and f.value is not None)
    return known if len(known) == len(findings) else ()
