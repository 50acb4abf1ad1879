"""The first screen of a page: the verdict in one sentence, and the number that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fedprivacy.judge import corrected, verdicts
from fedprivacy.judge.result import Audit, Finding, RunResult, Verdict
from fedprivacy.reporting.document import Banner, Tone
from fedprivacy.reporting.findings import (
    groups,
    headline_statistics,
    is_client,
    is_rate,
    main_target,
    metric_name,
    of_statistic,
)
from fedprivacy.reporting.outcome import Outcome, against_chance, overall
from fedprivacy.reporting.sections.strongest import headline_failed
from fedprivacy.reporting.sections.utility import mean_of
from fedprivacy.reporting.settings import setting
from fedprivacy.reporting.text import chance_level, clean, epsilon, estimate, level, listed

NO_PROOF = "this is no proof of privacy"
MEMBERSHIP: Mapping[Outcome, tuple[str, Tone]] = {
    "leak": ("Membership leaks to {who}", "bad"),
    "unclear": ("Inconclusive: membership may leak to {who}", "warn"),
    "none": (f"No leakage of membership to {{who}} was measured; {NO_PROOF}", "plain"),
    "reversed": ("Inconclusive: the score of {who} points the wrong way", "warn"),
    "unjudged": ("Inconclusive: too few records to judge {who}", "warn"),
    "failed": ("The declared attack of {who} failed, so there is no verdict", "bad"),
}
"""Outcome of declared headlines, the worst first -> verdict and tone."""

HONEST, ACTIVE = "honest-but-curious)", "active)"
"""How the name of an adversary ends."""

OF_CLASSES = " over the public mean of the class"
"""How the gain of class images ends."""
Judge = Callable[[Sequence[Finding], str, str], list[Verdict]]


@dataclass(frozen=True)
class Other:
    """An attack other than membership: how it is judged, and what is said where it leaks and where it does not."""

    judge: Judge
    leaks: str
    silent: str
    by_class: str = ""
    """What is said of a leak where one image a class was sought."""
    exactly: str = ""
    """What is said of a leak where every record of ``{messages}`` was read exactly."""


OTHERS: Mapping[str, Other] = {
    "inversion": Other(
        verdicts.inversion,
        "{who} can reconstruct records of clients",
        "{who} reconstructed no record better than could be guessed",
        "{who} can reconstruct what each class of a client looks like on average",
        "{who} read {messages} exactly, record by record",
    ),
    "labels": Other(
        verdicts.labels,
        "{who} learns which classes a client holds",
        "{who} was not seen to learn which classes a client holds",
    ),
    "theft": Other(
        verdicts.theft,
        "{who} gets a copy of a client's model",
        "{who} was not seen to get a copy of a client's model",
    ),
}


def judged(other: Other, findings: Sequence[Finding]) -> dict[str, Verdict]:
    """The verdict on each adversary of one attack; all of them hold together."""
    found = other.judge(findings, "", "")
    names = dict.fromkeys(f.adversary for f in findings)
    return {name: verdict for name in names for verdict in found if f"the {name} " in verdict.claim}


def banner(result: RunResult) -> Banner:
    """Of an audit what became of the claim, else the worst that an attack learned, membership before others."""
    if result.audit is not None:
        return _audited(result.audit, result.verdicts)
    said = [*_membership(result.findings, held_together(result)), *_others(result.findings)]
    first, *others = sorted(said, key=lambda one: one.tone != "bad") or [_untold(result)]
    return replace(first, also=tuple(one.verdict for one in others if one.tone == "bad"))


def decides(finding: Finding) -> bool:
    """Whether a verdict on membership rests on it."""
    return finding.headline and finding.metric == "AUC" and finding.target == "all clients"


def held_together(result: RunResult) -> dict[str, Finding]:
    """By adversary, what the verdict on it rests on, with an interval that holds for all adversaries."""
    targets, shadows = (setting(result.config, f"attack.{name}") for name in ("targets", "shadows"))
    own = [f for f in result.findings if is_rate(f.metric) and decides(f)]
    return {f.adversary: f for f in corrected.together(own, corrected.judged_federations(targets, shadows))}


def not_together(findings: Sequence[Finding], together: Finding | None) -> bool:
    """Whether the ``findings`` of one adversary show a leak that is none once its interval holds for all of them."""
    alone = next((f for f in findings if decides(f)), None)
    if alone is None or together is None:
        return False
    return against_chance(alone) == "leak" != against_chance(together)


def _membership(findings: Sequence[Finding], together: Mapping[str, Finding]) -> Iterator[Banner]:
    """The worst outcome of all declared headlines, with the highest number of those that share it."""
    found: dict[Outcome, list[Finding]] = {}
    for group in groups(f for f in findings if is_rate(f.metric)):
        for statistic in headline_statistics(group.findings):
            own = [f for f in group.findings if f.statistic == statistic]
            rates = of_statistic(own, statistic, main_target(own))
            if rates:
                first = next(iter(rates.values()))
                doubtful = not_together(own, together.get(first.adversary))
                found.setdefault("unclear" if doubtful else overall(rates), []).append(first)
    outcome = next((outcome for outcome in MEMBERSHIP if outcome in found), None)
    if outcome is None:
        return
    words, tone = MEMBERSHIP[outcome]
    who = listed(dict.fromkeys(_who(f.adversary) for f in found[outcome]))
    yield _number(words.format(who=who), tone, max(found[outcome], key=lambda f: f.value or 0.0))


def _others(findings: Sequence[Finding]) -> Iterator[Banner]:
    for attack, other in OTHERS.items():
        own = [f for f in findings if f.attack == attack and f.headline]
        told = []
        found = judged(other, [f for f in findings if f.attack == attack])
        for adversary in dict.fromkeys(f.adversary for f in own):
            leaks = adversary in found and found[adversary].verdict == "refuted"
            classes = any(f.adversary == adversary and f.metric.endswith(OF_CLASSES) for f in own)
            first = next(f for f in own if f.adversary == adversary)
            exact = next((f for f in own if f.adversary == adversary and verdicts.reads_exactly(f)), None)
            if headline_failed([f for f in own if f.adversary == adversary]):
                words, leaks = MEMBERSHIP["failed"][0].format(who=_who(adversary)), True
                number = first, ""
            elif exact is None:
                seen = other.by_class if classes else other.leaks
                words = (seen if leaks else f"{other.silent}; {NO_PROOF}").format(who=_who(adversary))
                number = first, _gain(own, adversary)
            else:
                words = other.exactly.format(who=_who(adversary), messages=verdicts.messages_read(exact))
                number = (first, _gain(own, adversary)) if exact.value == 1 else (exact, "")
            words = words[:1].upper() + words[1:]
            told.append(_number(words, "bad" if leaks else "plain", *number))
        yield from sorted(told, key=lambda one: one.tone != "bad")[:1]


def _gain(findings: Sequence[Finding], adversary: str) -> str:
    """The smallest gain of a headline over a guess, as what it is held against; of the first metric that has gains."""
    gains = [f for f in findings if f.adversary == adversary and "gain" in f.metric and f.value is not None]
    alike = [f for f in gains if f.metric.partition(" gain")[0] == gains[0].metric.partition(" gain")[0]]
    if not alike:
        return ""
    gain = min(alike, key=lambda f: f.value or 0.0)
    name, over, what = gain.metric.partition(" over ")
    words = f"more than {clean(what)}" if over else clean(name)
    return f"{estimate(gain.value, gain.low, gain.high, gain.chance, sign=True)} {words}"


def _who(adversary: str) -> str:
    """``the server``, ``the active server``, ``client-0``: that it is honest-but-curious is taken for granted."""
    position, _, power = clean(adversary).partition(" (")
    active = "active " if power == ACTIVE else ""
    article = "" if is_client(position) and not active else "the "
    return f"{article}{active}{position}" if power in ("", ACTIVE, HONEST) else f"{article}{clean(adversary)}"


def _seat(adversary: str) -> str:
    name = clean(adversary)
    return name if is_client(name.partition(" (")[0]) else f"the {name}"


def _number(verdict: str, tone: Tone, finding: Finding, against: str = "") -> Banner:
    chance = chance_level(finding.chance, finding.chance_low, finding.chance_high)
    how = f"{clean(finding.statistic)} on {clean(finding.observation)}, by {_seat(finding.adversary)}"
    return Banner(
        verdict,
        tone,
        metric_name(finding.metric),
        estimate(finding.value, finding.low, finding.high, finding.chance),
        against or ("" if finding.chance is None else f"without leakage {chance}"),
        f"{how}; {level(finding.level)} interval",
    )


def _audited(audit: Audit, judged: Sequence[Verdict]) -> Banner:
    claim = "no finite epsilon is claimed" if audit.epsilon is None else f"claimed: {epsilon(audit.epsilon)}"
    rows = [row for row in audit.rows if row.judged]
    verdict = judged[0].verdict if judged else "inconclusive"
    words = {"refuted": "Refuted", "not refuted": "Not refuted", "vacuous": "Vacuous"}.get(verdict, "Inconclusive")
    tone: Tone = "bad" if verdict in ("refuted", "vacuous") else "plain" if verdict == "not refuted" else "warn"
    unit = f"one {clean(audit.unit)} ({clean(audit.relation)})"
    about = f"{words}: {unit} has {_claimed(audit)}" + ("" if verdict == "refuted" else f"; {NO_PROOF}")
    if not rows:
        return Banner(about, tone)
    best = max(rows, key=lambda row: row.low)
    how = f"{clean(best.statistic)} on {clean(best.observation)}, by {_seat(best.adversary)}"
    return Banner(
        about, tone, "epsilon is at least", epsilon(best.low, "down"), claim, f"{how}; {level(audit.level)} lower bound"
    )


def _claimed(audit: Audit) -> str:
    return "no finite epsilon" if audit.epsilon is None else f"epsilon {epsilon(audit.epsilon)}"


def _untold(result: RunResult) -> Banner:
    """Without any headline: nothing is known of leakage; the number is that of the models."""
    words = "No attack was run: nothing is known about leakage" if not result.findings else "No headline was declared"
    used = next(iter(result.utility.items()), None)
    if used is None:
        return Banner(words, "warn")
    return Banner(words, "warn", metric_name(used[0]), mean_of(used[1]))
