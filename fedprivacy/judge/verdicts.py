"""Claims held against findings, in plain words. A verdict never says more than its interval does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from fedprivacy.judge import corrected
from fedprivacy.judge.result import (
    OWN_ACCURACY,
    PSNR_EXACT,
    READ_EXACTLY,
    Baseline,
    Communication,
    Finding,
    Interval,
    Kind,
    Verdict,
    main_metric,
)
from fedprivacy.metrics.intervals import Interval as Estimate

STRONGER_KNOWN = "a stronger attack is known and was not run"
"""How the note of a headline begins that is not the strongest known; a report says it beside the verdict."""
FEWEST_CLIENTS = 3
"""Clients below which a verdict on label distributions is only inconclusive: two tell next to nothing of a spread."""


def leakage(
    findings: Sequence[Finding],
    what_is_sent: str,
    source: str,
    federations: int = 1,
    read: Mapping[str, str] = MappingProxyType({}),
) -> list[Verdict]:
    """One verdict an adversary, from the headline AUC over all clients; ``federations`` of a seed are judged.

    ``read``: by adversary, what of all that is sent its headline was read from, where that is not ``what_is_sent``.
    """
    verdicts = []
    own = [f for f in findings if f.headline and f.metric == "AUC" and f.target == "all clients"]
    for finding in corrected.together(own, federations):
        sent = read.get(finding.adversary, what_is_sent)
        claim = f"Sharing {sent} does not tell the {finding.adversary} which records were trained on"
        verdicts.append(Verdict(claim, source, *_judged(finding, corrected.words(own))))
    return verdicts


def _judged(finding: Finding, words: str) -> tuple[Kind, str]:
    how = f"{finding.statistic} on {finding.observation}"
    if finding.value is None or finding.low is None or finding.high is None:
        return "inconclusive", f"the attack gave no number: {finding.note}"
    if finding.too_few:
        return "inconclusive", f"too few candidates to say ({how})."
    if finding.low > 0.5 and finding.value > (finding.chance_high or 0.5):
        return "refuted", f"the AUC of {how} and its whole interval{words} lie above chance."
    return "inconclusive", f"no leakage measured by {how}. That is no proof of privacy."


def labels(findings: Sequence[Finding], what_is_sent: str, source: str) -> list[Verdict]:
    """One verdict an adversary, from the headline's gain over the better guess: uniform, or the public prior."""
    claim = f"Sharing {what_is_sent} does not tell the", "which classes a client holds"
    return _of_gains(findings, "labels", claim, source, _judged_gain)


def _judged_gain(finding: Finding, words: str) -> tuple[Kind, str]:
    how, guesses = _how(finding), "a uniform guess and the public prior"
    if finding.low is not None and finding.low > 0:
        return "refuted", f"{how} is nearer to the truth than {guesses}, with its whole interval{words}."
    return "inconclusive", f"{how} is not measurably nearer to the truth than the better of {guesses}."


def theft(findings: Sequence[Finding], what_is_sent: str, source: str) -> list[Verdict]:
    """One verdict an adversary, from how much better its copies agree than a model that saw no message."""
    claim = f"Sharing {what_is_sent} does not give the", "a copy of a client's model"
    return _of_gains(findings, "theft", claim, source, _judged_copies)


def _judged_copies(finding: Finding, words: str) -> tuple[Kind, str]:
    how, value, low, high = _how(finding), finding.value or 0.0, finding.low or 0.0, finding.high or 0.0
    number = f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] points{words}"
    if low > 0:
        return "refuted", f"{how} agree with the clients' models more than one that saw no message, by {number}."
    return "inconclusive", f"{how} do not measurably agree more than a model that saw no message: {number}."


def _of_gains(
    findings: Sequence[Finding],
    attack: str,
    claim: tuple[str, str],
    source: str,
    judged: Callable[[Finding, str], tuple[Kind, str]],
) -> list[Verdict]:
    """One verdict an adversary from what an attack's headline gains; ``claim``: before and behind its name."""
    verdicts = []
    own = [f for f in findings if f.attack == attack and f.headline and f.target == "all clients"]
    for finding in corrected.together(own):
        told = f"{claim[0]} {finding.adversary} {claim[1]}"
        if finding.flag == "error":
            verdicts.append(Verdict(told, source, "inconclusive", f"the attack gave no number: {finding.note}"))
        elif "gain" not in finding.metric:
            continue
        elif finding.value is None or finding.low is None or finding.n < FEWEST_CLIENTS:
            why = f"an interval needs {FEWEST_CLIENTS} clients, and {finding.n} can be judged ({_how(finding)})."
            verdicts.append(Verdict(told, source, "inconclusive", why))
        else:
            verdicts.append(Verdict(told, source, *judged(finding, corrected.words(own))))
    return verdicts


def _how(finding: Finding) -> str:
    """What gave a number, in words."""
    return (
        f"copies by {finding.statistic}"
        if finding.attack == "theft"
        else f"{finding.statistic} on {finding.observation}"
    )


def inversion(findings: Sequence[Finding], what_is_sent: str, source: str) -> list[Verdict]:
    """One verdict an adversary: records are seen only by more than the best public guess and the paired null, or where
    every record of a message came out exactly."""
    found = corrected.together([f for f in findings if f.attack == "inversion" and f.headline])
    verdicts = []
    for adversary in dict.fromkeys(f.adversary for f in found):
        own = [f for f in found if f.adversary == adversary]
        claim = f"Sharing {what_is_sent} does not tell the {adversary} what a client's records look like"
        failed = next((f for f in own if f.flag == "error"), None)
        if failed is not None:
            verdicts.append(Verdict(claim, source, "inconclusive", f"the attack gave no number: {failed.note}"))
            continue
        every = [f for f in findings if f.attack == "inversion" and f.adversary == adversary]
        recognised = [f for f in every if f.metric.startswith("told from")]
        gains = [f for f in own if "gain" in f.metric]
        exact = next(filter(reads_exactly, own), None)
        if exact is None:
            judged = _judged_pictures(gains, recognised)
        else:
            judged = _judged_exact(exact, next((f for f in every if f.metric == PSNR_EXACT), None), gains)
        verdicts.append(Verdict(claim, source, *judged))
    return verdicts


def reads_exactly(finding: Finding) -> bool:
    """Whether it counts messages that were read exactly, more than chance gives so.

    Where no guess and no null gives any, one is enough: what is exact is no luck. Else the interval decides.
    """
    if finding.metric != READ_EXACTLY or not finding.value:
        return False
    return not finding.chance or (finding.low or 0.0) > finding.chance


def messages_read(finding: Finding) -> str:
    """``1 of 5 messages``, ``all 5 messages``."""
    number = round((finding.value or 0.0) * finding.n)
    return f"{'all' if number == finding.n > 1 else f'{number} of'} {finding.n} message{'s' * (finding.n > 1)}"


def _judged_exact(exact: Finding, seen: Finding | None, gains: Sequence[Finding]) -> tuple[Kind, str]:
    records = "" if seen is None else f", {seen.n:,} record{'s' * (seen.n > 1)} at {seen.value or 0.0:.1f} dB"
    verb = "was" if round((exact.value or 0.0) * exact.n) == 1 else "were"
    told = f" In the mean over what is judged together: {_gains_told(gains)}." if gains else ""
    return "refuted", f"{messages_read(exact)} {verb} read exactly{records}.{told}"


def _gains_told(gains: Sequence[Finding]) -> str:
    """All gains in words, those of pictures first."""
    return "; ".join(_gain_words(f) for f in sorted(gains, key=lambda f: not f.metric.startswith("PSNR")))


def _judged_pictures(gains: Sequence[Finding], recognised: Sequence[Finding]) -> tuple[Kind, str]:
    pictures = [f for f in gains if f.metric.startswith("PSNR")]
    told = _gains_told(gains)
    if not any("the null" in f.metric for f in pictures):
        return "inconclusive", f"there is no second message for the paired null. {told}."
    if any(f.low is None for f in gains):
        return "inconclusive", f"one message has no interval. {told}."
    if all((f.low or 0.0) > 0 for f in gains):
        return "refuted", f"the reconstruction is nearer to the truth than all that it is held against. {told}."
    below = [f for f in gains if (f.low or 0.0) <= 0]
    if _recognised(recognised) and all("the null" not in f.metric for f in below):
        share = f"{100 * (recognised[0].value or 0.0):.0f}%"
        return "inconclusive", (
            f"its pixels are not measurably nearer to the truth than {_over(below[0])}, yet {share} of pictures are "
            f"nearer to the client's record than to any public one: they are recognised. {told}."
        )
    return "inconclusive", (
        f"not measurably better than {_over(below[0])}, so nothing was seen that could not be guessed; that is no "
        f"proof of privacy. {told}."
    )


def _recognised(told: Sequence[Finding]) -> bool:
    """Whether pictures tell their record from public ones measurably more often than another message's do."""
    own, null = (next((f for f in told if f.headline is wanted), None) for wanted in (True, False))
    return own is not None and null is not None and (own.low or 0.0) > (null.high or 0.0)


def _over(gain: Finding) -> str:
    return f"the {gain.metric.partition(' over the ')[2]}"


def _gain_words(gain: Finding) -> str:
    unit, value = (" dB", f"{gain.value:+.1f}") if gain.metric.startswith("PSNR") else ("", f"{gain.value:+.3f}")
    digits = 1 if unit else 3
    ends = "" if gain.low is None else f" [{gain.low:+.{digits}f}, {gain.high:+.{digits}f}]"
    return f"{value}{unit}{ends} over {_over(gain)}"


def utility(
    protocol: str, reached: Mapping[str, Interval], baselines: Sequence[Baseline], paired: Mapping[str, Estimate]
) -> list[Verdict]:
    """Whether the protocol beats each baseline in the accuracy that counts, seed by seed; one seed decides nothing.

    Clients of one run share the public folds, each other's predictions and the test set, so an interval over them is
    far too narrow for a verdict.
    """
    verdicts = []
    metric = main_metric(reached)
    own, name = reached[metric], "own accuracy" if metric == OWN_ACCURACY else "accuracy"
    for baseline in baselines:
        other = baseline.utility.get(metric)
        gap = paired.get(baseline.name)
        if other is None or gap is None:
            continue
        claim = f"{protocol} trains better models than {baseline.name} ({baseline.why})"
        number = (
            f"{name} {100 * own.mean:.1f}% against {100 * other.mean:.1f}%, paired difference {100 * gap.value:+.1f}"
        )
        number += f" [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points over {own.n} {own.over}."
        kind: Kind = "supported" if gap.low > 0 else "refuted" if gap.high < 0 else "inconclusive"
        if own.over != "seeds":
            kind = "inconclusive"
            number = number.rstrip(".") + " of one seed; clients of one run are not independent, so use --seeds 5."
        verdicts.append(Verdict(claim, "this run", kind, number))
    return verdicts


def _fewer(ratio: float) -> str:
    return f"{ratio:,.1f} times fewer" if ratio >= 1 else f"{1 / ratio:,.1f} times more"


def bandwidth(protocol: str, sizes: Communication, incomparable: bool = False) -> list[Verdict]:
    """Bytes against federated averaging of the same model, with the delivery of public records and without.

    ``incomparable``: the clients' models differ, so that there is no averaging to hold the run against, or it is that
    averaging itself. Then there is no verdict.
    """
    sent = sizes.up_bytes + sizes.down_bytes
    if not sent or incomparable:
        return []
    plain, whole = sizes.fedavg_bytes / sent, sizes.fedavg_bytes / (sent + sizes.public_bytes)
    why = f"{_fewer(plain)} bytes in messages; {_fewer(whole)} with the delivery of public records counted."
    kind: Kind = "supported" if whole > 1.05 else "refuted"
    if 0.95 < plain < 1.05:
        why = "as many bytes."
    return [
        Verdict(f"{protocol} needs less bandwidth than federated averaging of the same model", "this run", kind, why)
    ]
