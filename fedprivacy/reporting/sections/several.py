"""The verdict of several runs: which of two leaks less at equal power and knowledge, and what a budget protects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from fedprivacy.judge import comparison
from fedprivacy.judge.result import Finding, RunResult, main_metric
from fedprivacy.metrics.intervals import corrected_level
from fedprivacy.reporting.document import Banner, Tone
from fedprivacy.reporting.findings import (
    groups,
    headline_statistics,
    is_rate,
    main_target,
    metric_name,
    of_statistic,
)
from fedprivacy.reporting.outcome import overall
from fedprivacy.reporting.sections.banner import NO_PROOF
from fedprivacy.reporting.sections.utility import difference, mean_of
from fedprivacy.reporting.settings import level
from fedprivacy.reporting.text import clean, counted, epsilon, estimate
from fedprivacy.reporting.text import level as level_words

HOW: Mapping[str, str] = {"supported": "less", "refuted": "more"}
"""What a verdict on the claim that a run leaks less than the first says of it."""

TONES: Mapping[str, Tone] = {"supported": "good", "refuted": "bad"}

AT = 0.95
"""Level of all comparisons of one seat together."""


def compared(results: Sequence[RunResult], names: Sequence[str]) -> Banner:
    """The first seat at which the order of two runs is settled, else the first at which it is open."""
    found = [banner for table in comparison.tables(results, names) for banner in _held(table)]
    settled = (one for one in found if one.tone != "warn")
    if found:
        return next(settled, found[0])
    return Banner(f"{counted(len(results), 'run')} side by side: no seat was attacked in two of them", "warn")


def _held(table: comparison.Table) -> Iterator[Banner]:
    """Each run of a seat against its first."""
    if len(table.rows) < 2:
        return
    first, *others = table.rows
    at = corrected_level(AT, len(others))
    for one, verdict in zip(others, comparison.verdicts(table, AT), strict=True):
        names = f"{clean(one.run)} leaks {{}} of membership to the {clean(one.seat)} than {clean(first.run)}"
        about = f"{clean(one.auc.statistic)} on {clean(one.auc.observation)}, held against the first run at equal power"
        gap = comparison.paired(one.auc, first.auc, at)
        words = (
            names.format(HOW[verdict.verdict])
            if verdict.verdict in HOW
            else f"Not settled: whether {names.format('less')}"
        )
        tone = TONES.get(verdict.verdict, "warn")
        if gap is None:
            own, other = _told(one.auc), f"{clean(first.run)} {_told(first.auc)}"
            yield Banner(words, tone, f"AUC of {clean(one.run)}", own, other, about)
            continue
        number = estimate(gap.value, gap.low, gap.high, 0.0, sign=True)
        over = f"{about}; {level_words(at)} interval over {counted(len(one.auc.per_seed), 'seed')}"
        yield Banner(words, tone, "difference in AUC", number, "", over)


def _told(finding: Finding) -> str:
    return estimate(finding.value, finding.low, finding.high, finding.chance)


def swept(results: Sequence[RunResult]) -> Banner:
    """The largest budget down from which no declared headline leaks, and what it costs in accuracy."""
    finite = sorted((r for r in results if r.privacy.epsilon is not None), key=lambda r: r.privacy.epsilon or 0.0)
    open_ = next((r for r in results if r.privacy.epsilon is None), None)
    quiet = list(takewhile(lambda r: _headlines(r) and not _leaking(r), finite))
    if quiet:
        words = f"At epsilon {epsilon(quiet[-1].privacy.epsilon)} no leakage of membership was measured; {NO_PROOF}"
        return _cost(words, quiet[-1], open_)
    least = finite[0] if finite else None
    if least is None or not _headlines(least):
        return Banner(f"{counted(len(results), 'budget')}: nothing is known about leakage under noise", "warn")
    down = f"at any epsilon that was tried, down to {epsilon(least.privacy.epsilon)}"
    leaks = any(overall(rates) == "leak" for rates in _rates(least))
    words = f"Membership leaks {down.replace('any', 'every')}" if leaks else f"Not settled {down}: no attack is clear"
    worst = max(_headlines(least), key=lambda f: f.value or 0.0)
    about = f"{clean(worst.statistic)} on {clean(worst.observation)}, at epsilon {epsilon(least.privacy.epsilon)}"
    return Banner(words, "bad" if leaks else "warn", metric_name(worst.metric), _told(worst), "", about)


def _cost(words: str, under: RunResult, without: RunResult | None) -> Banner:
    """What is paid for it: accuracy beside that without noise."""
    metric = main_metric(under.utility)
    if not metric:
        return Banner(words, "plain")
    if without is None or metric not in without.utility:
        return Banner(words, "plain", metric_name(metric), mean_of(under.utility[metric]))
    gap = estimate(*difference(under.utility[metric], without.utility[metric], level(under)), against=0.0, sign=True)
    told = f"{mean_of(under.utility[metric])} against {mean_of(without.utility[metric])} without noise"
    return Banner(words, "plain", f"{metric_name(metric)}, change", gap, "", told)


def _headlines(result: RunResult) -> list[Finding]:
    """The first rate of every declared headline."""
    return [next(iter(rates.values())) for rates in _rates(result)]


def _leaking(result: RunResult) -> bool:
    return any(overall(rates) != "none" for rates in _rates(result))


def _rates(result: RunResult) -> Iterator[dict[str, Finding]]:
    for group in groups(f for f in result.findings if is_rate(f.metric)):
        for statistic in headline_statistics(group.findings):
            own = [f for f in group.findings if f.statistic == statistic]
            rates = of_statistic(own, statistic, main_target(own))
            if rates:
                yield rates
