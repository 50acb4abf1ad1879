"""``--fail-above`` and ``--fail-below``: limits that turn what was found into exit code 1.

A number breaks a limit where its whole interval lies beyond it: the lower end above, or the upper end below. A number
on which the report lets no verdict rest (too few records, below resolution, a failed attack) keeps no limit either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fedprivacy.cli.say import say
from fedprivacy.config.base import UsageError
from fedprivacy.judge.result import JUDGED_FROM

if TYPE_CHECKING:
    from fedprivacy.config.run import RunConfig
    from fedprivacy.judge.result import RunResult

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ABOVE = "auc, tpr@10%fpr, tpr@1%fpr, tpr@0.1%fpr or epsilon"
BELOW = "accuracy"


@dataclass(frozen=True)
class Limits:
    """(metric in lower case, value) that nothing may be above, and that nothing may be below."""

    above: tuple[tuple[str, float], ...] = ()
    below: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parsed(cls, above: tuple[str, ...], below: tuple[str, ...] = ()) -> Limits:
        """From the texts of the two flags, such as ``tpr@1%fpr=0.05``. Raises UsageError."""
        rates = r"auc|tpr@(10|1|0\.1)%fpr|epsilon"
        return cls(
            tuple(_parsed(text, "--fail-above", rates, ABOVE) for text in above),
            tuple(_parsed(text, "--fail-below", "accuracy", BELOW) for text in below),
        )

    @property
    def of_attack(self) -> bool:
        """Whether a limit is about what an attack measures."""
        return any(metric != "epsilon" for metric, _ in self.above)

    def assert_measured(self, *configs: RunConfig) -> None:
        """Raise UsageError where a limit is about an attack and none of the runs is attacked."""
        if self.of_attack and not any(config.attack.attacks for config in configs):
            raise UsageError("--fail-above: nothing is measured without an attack; add --attack membership.")

    def on(self, config: RunConfig) -> Limits:
        """Those that hold for a run: where nobody attacks, no attack is held to a limit."""
        of_claims = tuple((metric, limit) for metric, limit in self.above if metric == "epsilon")
        return self if config.attack.attacks else replace(self, above=of_claims)


def limited(command: CommandT) -> CommandT:
    """Decorator: add both flags; the command gets ``fail_above`` and ``fail_below``."""
    command = click.option(
        "--fail-below",
        multiple=True,
        metavar="accuracy=VALUE",
        help="Exit 1 when the test accuracy is below, with its whole interval.",
    )(command)
    return click.option(
        "--fail-above",
        multiple=True,
        metavar="METRIC=VALUE",
        help="Exit 1 when the declared statistic is above with its whole interval, or has no number that a verdict may "
        "rest on, such as 'tpr@1%fpr=0.05' or 'auc=0.6'; 'epsilon=8' holds the claim and what was measured.",
    )(command)


def _parsed(text: str, flag: str, metrics: str, named: str) -> tuple[str, float]:
    metric, equals, value = text.lower().replace(" ", "").partition("=")
    if not equals or not re.fullmatch(metrics, metric):
        raise UsageError(f"{flag}: '{text}' is not METRIC=VALUE with {named}.")
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UsageError(f"{flag}: '{value}' in '{text}' is not a number.")
    if metric == "epsilon" and limit < 0:
        raise UsageError(f"{flag}: epsilon is 0 or more, so a limit of {limit:g} decides nothing.")
    if metric != "epsilon" and not 0 <= limit < 1:
        raise UsageError(f"{flag}: {metric} lies between 0 and 1, so a limit of {limit:g} decides nothing.")
    return metric, limit


def broken(result: RunResult, limits: Limits, name: str = "") -> int:
    """1 if a limit is broken, or nothing was measured that could keep it; else 0. ``name``: of several results.

    Each reason is one line on standard error.
    """
    reasons = [*_above(result, limits), *_below(result, limits)]
    for reason in reasons:
        say(f"fedprivacy: {name + ': ' if name else ''}{reason}")
    return int(bool(reasons))


def _above(result: RunResult, limits: Limits) -> Iterator[str]:
    for metric, limit in limits.above:
        if metric == "epsilon":
            yield from _epsilon(result, limit)
            continue
        found = [f for f in result.findings if f.headline and not f.target.startswith("client-")]
        held = [f for f in found if f.metric.lower() == metric]
        if not held:
            yield f"no number for the limit {metric}={limit:g}: no headline finding has it"
        for finding in held:
            where = f"({finding.adversary}, {finding.observation}, {finding.statistic})"
            if finding.value is None or finding.low is None or finding.flag:
                few = "too few records for a verdict"
                if metric.startswith("tpr"):
                    few += ": fewer than ten false positives are allowed at this FPR"
                why = {"few": few}.get(finding.flag) or finding.note or "below resolution"
                yield f"no number for the limit {metric}={limit:g} {where}: {why}"
            elif finding.too_few:
                counts = (
                    f"{finding.members} members and {finding.non_members} non-members, {JUDGED_FROM} of each needed"
                )
                yield f"no number for the limit {metric}={limit:g} {where}: {counts}"
            elif finding.low > limit:
                interval = f"{finding.value:.4f} [{finding.low:.4f}, {finding.high or finding.value:.4f}]"
                yield f"above the limit: {finding.metric} {interval} > {limit:g} {where}"


def _epsilon(result: RunResult, limit: float) -> Iterator[str]:
    claim = result.privacy
    if claim.epsilon is None:
        yield f"above the limit: epsilon is infinite, and may be {limit:g} ({claim.why or 'nothing is claimed'})"
    elif claim.epsilon > limit:
        yield f"above the limit: epsilon {claim.epsilon:.4g} > {limit:g} ({claim.accountant}, delta {claim.delta:g})"
    for row in () if result.audit is None else result.audit.rows:
        if row.judged and row.low > limit:
            where = f"({row.adversary}, {row.statistic})"
            yield f"above the limit: measured epsilon at least {row.low:.4g} > {limit:g} {where}"


def _below(result: RunResult, limits: Limits) -> Iterator[str]:
    from fedprivacy.judge.result import main_metric

    counted = main_metric(result.utility)
    for metric, limit in limits.below:
        found = result.utility.get(counted)
        if found is None or metric not in counted:
            yield f"no number for the limit {metric}={limit:g}: no model was tested"
        elif found.high < limit:
            yield f"below the limit: accuracy {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}] < {limit:g}"
