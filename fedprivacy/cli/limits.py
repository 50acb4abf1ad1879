"""``--fail-above``: thresholds that turn a finding into exit code 1."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import click

from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult


def parse_limit(text: str) -> tuple[str, float]:
    """``tpr@1%fpr=0.05`` as (metric in lower case, value)."""
    metric, equals, value = text.lower().replace(" ", "").partition("=")
    if not equals or not re.fullmatch(r"auc|tpr@(10|1|0\.1)%fpr", metric):
        raise UsageError(f"--fail-above: '{text}' is not METRIC=VALUE with auc, tpr@10%fpr, tpr@1%fpr or tpr@0.1%fpr.")
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UsageError(f"--fail-above: '{value}' in '{text}' is not a number.")
    if not 0 <= limit < 1:
        raise UsageError(f"--fail-above: {metric} lies between 0 and 1, so a limit of {limit:g} decides nothing.")
    return metric, limit


def broken(result: RunResult, limits: list[tuple[str, float]]) -> int:
    """1 if a headline finding over all clients is above a limit, or has no number to hold against it; else 0.

    Each reason is one line on standard error: a limit that nothing was measured for has not been kept.
    """
    code = 0
    for metric, limit in limits:
        found = [f for f in result.findings if f.headline and not f.target.startswith("client-")]
        held = [f for f in found if f.metric.lower() == metric]
        if not held:
            click.echo(f"fedprivacy: no number for the limit {metric}={limit:g}: no headline finding has it", err=True)
            code = 1
        for finding in held:
            where = f"({finding.adversary}, {finding.observation}, {finding.statistic})"
            if finding.value is None:
                click.echo(f"fedprivacy: no number for the limit {metric}={limit:g} {where}: {finding.note}", err=True)
                code = 1
            elif finding.value > limit:
                click.echo(
                    f"fedprivacy: above the limit: {finding.metric} {finding.value:.4f} > {limit} {where}", err=True
                )
                code = 1
    return code
