"""What a figure of a run shows, in words: its text alternative, from the same findings that it is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.findings import groups, headline_statistics, is_rate, main_target, metric_name, of_statistic
from fedprivacy.reporting.outcome import measured
from fedprivacy.reporting.pictures import Panel
from fedprivacy.reporting.text import clean, epsilon, estimate, fixed, level


def in_words(name: str, result: RunResult) -> str:
    """What the figure ``name`` of ``result`` shows."""
    title, told = _TOLD[name]
    return " ".join([title, *(f"{line}." for line in told(result))])


def panel_in_words(panel: Panel) -> str:
    """Rows of a panel with their mean PSNR."""
    rows: Sequence[str] = [
        clean(row.name) if row.psnr is None else f"{clean(row.name)}, {fixed(float(row.psnr.mean()), 1)} dB on average"
        for row in panel.rows
    ]
    return f"Pictures in rows: {'; '.join(rows)}."


def _rates(result: RunResult) -> Iterator[str]:
    for group in groups(f for f in result.findings if is_rate(f.metric)):
        for statistic in headline_statistics(group.findings):
            own = [f for f in group.findings if f.statistic == statistic]
            rates = of_statistic(own, statistic, main_target(own))
            known = [f for f in rates.values() if f.value is not None]
            told = "; ".join(f"{metric_name(f.metric)} {estimate(f.value, f.low, f.high, f.chance)}" for f in known)
            yield f"{clean(group.adversary)}, {clean(statistic)} on {clean(group.observation)}: {told}"


def _areas(result: RunResult) -> Iterator[str]:
    for finding in result.findings:
        if finding.headline and finding.metric.lower() == "auc" and finding.value is not None:
            target = "" if finding.target == "all clients" else f", {clean(finding.target)}"
            yield f"{clean(finding.adversary)}, {clean(finding.statistic)}{target}: {measured(finding)}"


def _bounds(result: RunResult) -> Iterator[str]:
    audit = result.audit
    if audit is None:
        return
    for row in (row for row in audit.rows if row.judged):
        bound = f"{level(audit.level)} lower bound {epsilon(row.low, 'down')}"
        ends = f"claimed {epsilon(audit.epsilon)}, {bound}, ceiling {epsilon(row.ceiling, 'down')}"
        yield f"{clean(row.adversary)}, {clean(row.statistic)}: {ends}"


_TOLD: Mapping[str, tuple[str, Callable[[RunResult], Iterator[str]]]] = {
    "roc": ("ROC curves on log axes with confidence bands and the line of no leakage.", _rates),
    "leakage": ("AUC of every statistic with its interval, over the band of no leakage. Headlines:", _areas),
    "claim": ("Claimed epsilon beside measured lower bounds.", _bounds),
}
