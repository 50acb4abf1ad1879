"""Label distributions in a report: one row an estimate or guess, values over intervals, clients in one line."""

from __future__ import annotations

import io

from rich.console import Console

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Document, Section
from fedprivacy.reporting.findings import groups
from fedprivacy.reporting.sections.labels import label_blocks
from fedprivacy.reporting.terminal import render_document


def finding(statistic: str, metric: str, value: float | None, target: str = "all clients", **more: object) -> Finding:
    half = None if value is None or target != "all clients" else 0.05
    plain = Finding(
        attack="labels",
        observation="shared predictions",
        statistic=statistic,
        adversary="server (honest-but-curious)",
        target=target,
        metric=metric,
        value=value,
        chance=0.5,
        low=None if value is None or half is None else value - half,
        high=None if value is None or half is None else value + half,
        level=0.95,
        n=5,
    )
    return plain.__class__(**{**vars(plain), **more})


def shown(*findings: Finding, width: int = 80) -> str:
    (group,) = groups(findings)
    page = io.StringIO()
    document = Document("labels", (Section("Leakage: labels", tuple(label_blocks(group))),))
    render_document(document, Console(file=page, width=width))
    return page.getvalue()


def test_one_row_an_estimate_and_the_clients_in_a_line() -> None:
    text = shown(
        finding("mean_softmax", "TV", 0.175, headline=True),
        finding("mean_softmax", "TV gain over the better guess", 0.316, headline=True),
        finding("mean_softmax", "top-class hit", 0.8, headline=True),
        finding("mean_softmax", "TV", 0.247, "client-1", headline=True),
        finding("mean_softmax", "TV", 0.131, "client-0", headline=True),
        finding("uniform guess", "TV", 0.492, note="looks at no message"),
    )
    lines = text.splitlines()
    (own,) = [line for line in lines if line.startswith("mean_softmax")]
    assert own.split()[1:] and "0.175" in own and "+0.316" in own and "0.80" in own
    (guess,) = [line for line in lines if line.startswith("uniform guess")]
    assert "0.492" in guess and guess.count("-") >= 3
    assert "TV of the headline by client: client-0 0.131, client-1 0.247." in " ".join(text.split())
    assert "(a) looks at no message" in text and max(map(len, lines)) <= 80


def test_a_failed_attack_is_one_line() -> None:
    text = shown(finding("mean_softmax", "TV", None, flag="error", note="no predictions were received"))
    assert "the attack failed: no predictions were received" in " ".join(text.split())
