"""Accuracy against its baselines, bytes and epsilon: one line each."""

from __future__ import annotations

from collections.abc import Iterator

from fedprivacy.judge.result import PrivacyClaim, RunResult, main_metric
from fedprivacy.reporting.document import Facts
from fedprivacy.reporting.findings import metric_name
from fedprivacy.reporting.sections.claim import claim_gaps
from fedprivacy.reporting.sections.traffic import against_fedavg, differs_from_fedavg
from fedprivacy.reporting.sections.utility import difference, mean_of
from fedprivacy.reporting.settings import level
from fedprivacy.reporting.text import clean, counted, epsilon, estimate, listed, scientific, size


def glance(result: RunResult) -> Facts:
    """What the federation gives and costs."""
    return Facts((*_accuracy(result), ("bytes", _bytes(result)), ("epsilon", _epsilon(result.privacy))))


def _accuracy(result: RunResult) -> Iterator[tuple[str, str]]:
    if not result.utility:
        yield "accuracy", "no model was tested"
        return
    metric = main_metric(result.utility)
    own = result.utility[metric]
    gaps = []
    for baseline in result.baselines:
        other = baseline.utility.get(metric)
        if other is not None:
            gap = estimate(*difference(own, other, level(result)), against=0.0, sign=True)
            gaps.append(f"{gap} against {clean(baseline.name)}")
    words = "no baseline was run"
    if gaps:
        words = listed(gaps) + ("" if own.over == "seeds" else "; one seed decides nothing")
    yield metric_name(metric), f"{mean_of(own)}; {words}"


def _bytes(result: RunResult) -> str:
    wire = result.communication
    if not wire.up_bytes + wire.down_bytes + wire.public_bytes:
        return "nothing crossed the wire"
    ratio = against_fedavg(result) if differs_from_fedavg(result) else ""
    return f"{size(wire.up_bytes + wire.down_bytes)} up and down. {ratio}".rstrip(" .")


def _epsilon(claim: PrivacyClaim) -> str:
    if claim.epsilon is None:
        return f"infinite: no differential privacy is claimed{f' ({clean(claim.why)})' if claim.why else ''}"
    gaps = claim_gaps(claim)
    if gaps:
        return f"no claim: {', '.join(gaps)} not stated"
    words = f"at most {epsilon(claim.epsilon)} at delta {scientific(claim.delta)} for one {clean(claim.unit)}"
    words += f" ({clean(claim.relation)}, {counted(claim.releases, 'release')})"
    words += "; vacuous, delta is one over the records of a client or more" if claim.vacuous else ""
    return words + ("; seeded noise, so no guarantee" if claim.seeded else "")
