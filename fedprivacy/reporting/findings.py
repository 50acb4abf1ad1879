"""Which findings belong together, in which order, and which of them a verdict may rest on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedprivacy.judge.result import OWN_ACCURACY, Finding
from fedprivacy.reporting.text import clean

_TPR = re.compile(r"tpr@(?P<fpr>[0-9.]+)%(?:fpr)?", re.IGNORECASE)
_CLIENT = re.compile(r"client[-_ ]?[0-9]+")
_ACRONYMS = {"auc": "AUC", "tv": "TV", "kl": "KL", "psnr": "PSNR", "ssim": "SSIM", "mse": "MSE", "tpr": "TPR"}
_ALL_CLIENTS = ("pooled", "all", "all clients", "clients", "mean", "federation")


@dataclass(frozen=True)
class Group:
    """Findings of one attack by one adversary from one observation, in their order in the result."""

    attack: str
    adversary: str
    observation: str
    findings: tuple[Finding, ...]


def groups(findings: Iterable[Finding]) -> tuple[Group, ...]:
    """Findings by attack, adversary and observation, in order of first appearance."""
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.attack, finding.adversary, finding.observation), []).append(finding)
    return tuple(Group(*key, tuple(content)) for key, content in found.items())


def fpr_of(metric: str) -> float | None:
    """The FPR, in per cent, of a metric such as ``tpr@0.1%fpr``; None for any other metric."""
    match = _TPR.fullmatch(metric)
    return float(match["fpr"]) if match else None


def metric_key(metric: str) -> str:
    """One spelling a metric: ``auc``, ``tpr@1%fpr``; other names in small letters."""
    fpr = fpr_of(metric)
    return metric.lower() if fpr is None else f"tpr@{fpr:g}%fpr"


def is_rate(metric: str) -> bool:
    """Whether ``metric`` is AUC or TPR at a FPR, the measures of a membership attack."""
    return metric.lower() == "auc" or fpr_of(metric) is not None


def metric_name(metric: str) -> str:
    """``TPR at 1% FPR``, ``AUC``, ``label accuracy``."""
    fpr = fpr_of(metric)
    if fpr is not None:
        return f"TPR at {fpr:g}% FPR"
    if metric == OWN_ACCURACY:
        return "own test accuracy"
    words = clean(metric).replace("_", " ").split(" ")
    return " ".join(_ACRONYMS.get(word.lower(), word) for word in words)


def metric_short(metric: str) -> str:
    """``TPR@1%`` where :func:`metric_name` says ``TPR at 1% FPR``."""
    fpr = fpr_of(metric)
    return metric_name(metric) if fpr is None else f"TPR@{fpr:g}%"


def metric_order(metric: str) -> tuple[int, float]:
    """Sort key: AUC first, then TPR at falling FPR."""
    fpr = fpr_of(metric)
    return (0, 0.0) if fpr is None else (1, -fpr)


def is_client(target: str) -> bool:
    """Whether ``target`` is one client, and not a pool of several."""
    return _CLIENT.fullmatch(target) is not None


def main_target(findings: Sequence[Finding]) -> str | None:
    """The target that speaks for all clients; the only one if there is one; None where only clients are given."""
    targets = list(dict.fromkeys(finding.target for finding in findings))
    known = [target for name in _ALL_CLIENTS for target in targets if target.lower() == name]
    shared = [target for target in targets if not is_client(target)]
    if known or shared:
        return (known or shared)[0]
    return targets[0] if len(targets) == 1 else None


def headline_statistics(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Statistics declared before the run as those that the verdict rests on."""
    return tuple(dict.fromkeys(finding.statistic for finding in findings if finding.headline))


def of_statistic(findings: Iterable[Finding], statistic: str, target: str | None) -> dict[str, Finding]:
    """Rates of one statistic about one target by :func:`metric_key`, AUC first; the first of a metric counts."""
    chosen: dict[str, Finding] = {}
    for finding in findings:
        if finding.statistic == statistic and finding.target == target:
            chosen.setdefault(metric_key(finding.metric), finding)
    return dict(sorted(chosen.items(), key=lambda item: metric_order(item[0])))


def is_null(statistic: str) -> bool:
    """Whether the row is a control on shuffled coins and no statistic of its own."""
    return statistic.lower().startswith("null")


def is_selected(statistic: str) -> bool:
    """Whether the row is the highest of several statistics and no statistic of its own."""
    return statistic.lower().startswith("best of ")


def client_key(target: str) -> tuple[int, str]:
    """Sort key that puts client-10 behind client-9."""
    digits = re.sub(r"[^0-9]", "", target)
    return int(digits or 0), target
