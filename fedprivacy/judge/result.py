"""What a run found, as plain values that go to JSON and back. A report is a pure function of this.

No number stands alone: a finding has its value, its chance level with a band, its interval, and how many records it
rests on. A failed attack is a finding with an error, never a missing row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fedprivacy.privacy.claim import Claim

SCHEMA = "fedprivacy/1"

JUDGED_FROM = 100
"""Members, and non-members, from which a membership finding is judged; with fewer it is shown and decides nothing."""

ACCURACY, OWN_ACCURACY = "test_accuracy", "test_own_accuracy"
"""Utility on all test records, and on those weighted to the classes of each client's own records."""

READ_EXACTLY, PSNR_EXACT = "messages read exactly", "PSNR (dB) of messages read exactly"
"""Of reconstructions: the share of messages whose every record came out exactly, and how near those records are."""

Flag = Literal["", "few", "below", "error"]
Kind = Literal["supported", "refuted", "inconclusive", "not refuted", "vacuous"]


@dataclass(frozen=True)
class Interval:
    """A mean over clients or repetitions with its interval; ``per_client`` holds the single values."""

    mean: float
    low: float
    high: float
    per_client: Mapping[str, float] = field(default_factory=dict)
    n: int = 1
    """Repetitions (seeds) or, with one seed, clients that the interval rests on."""
    over: str = "clients"
    """What the interval is over: clients or seeds."""
    per_seed: tuple[float, ...] = ()
    """The mean of each repetition, in the order of the seeds, so that runs on the same seeds can be paired."""


def main_metric(*utilities: Mapping[str, Interval]) -> str:
    """What models are compared in: accuracy, each client's own where clients hold different classes.

    Without any accuracy the first metric that there is; empty where there is none.
    """
    known = [utility for utility in utilities if utility]
    for name in (OWN_ACCURACY, ACCURACY):
        if known and all(name in utility for utility in known):
            return name
    return next((name for utility in known for name in utility), "")


@dataclass(frozen=True)
class Baseline:
    """Another protocol on the same data and seeds, to compare with."""

    name: str
    why: str
    utility: Mapping[str, Interval]
    up_bytes: int
    down_bytes: int


@dataclass(frozen=True)
class Communication:
    """Encoded bytes of all messages of one federation, over all clients and rounds (mean over seeds).

    ``public_bytes``: delivery of public records to all clients that receive them. ``fedavg_bytes``: what federated
    averaging of the same model would send in both directions. ``payload_bytes``: raw values without headers, both
    directions. ``per_round``: (up, down) by round.
    """

    up_bytes: int
    down_bytes: int
    public_bytes: int
    payload_bytes: int
    fedavg_bytes: int
    per_round: tuple[tuple[int, int], ...]
    start_bytes: int = 0
    """A common warmed-up model, sent to every client before round 1; no round counts it."""
    per_seed: tuple[int, ...] = ()
    """Bytes up and down of each repetition, in the order of the seeds."""


@dataclass(frozen=True)
class PrivacyClaim:
    """What the accountant may say. ``epsilon`` None is infinite: some release had no noise."""

    unit: str
    relation: str
    epsilon: float | None
    delta: float
    accountant: str
    releases: int
    why: str = ""
    adversary: str = "whole transcript"
    """Who sees what; the noise protects against nobody else."""
    worst: str = ""
    """Client, and fold of its records, for which epsilon is largest."""
    cross_check: float | None = None
    """Epsilon by a second accountant."""
    vacuous: bool = False
    """Delta is one over the records of a client, or more."""
    seeded: bool = False
    """The noise came from a named seed: for measurement only."""

    @classmethod
    def of(cls, claim: Claim) -> PrivacyClaim:
        """The accountant's claim; infinity becomes None, since JSON has none."""
        content = vars(claim)
        return cls(**{**content, "epsilon": claim.epsilon if claim.finite else None})


@dataclass(frozen=True)
class Finding:
    """One measured number. ``value`` None is below resolution (``flag`` below) or failed (``flag`` error)."""

    attack: str
    observation: str
    statistic: str
    adversary: str
    target: str
    metric: str
    value: float | None
    chance: float | None
    low: float | None
    high: float | None
    level: float
    n: int
    chance_low: float | None = None
    chance_high: float | None = None
    members: int | None = None
    non_members: int | None = None
    false_positives: int | None = None
    flag: Flag = ""
    headline: bool = False
    """Whether this statistic was declared, before the run, as the one that the verdict rests on."""
    note: str = ""
    knowledge: str = ""
    """What the adversary was given beside what it received; numbers are compared only where it is the same."""
    per_seed: tuple[float, ...] = ()
    """The value of each repetition, in the order of the seeds, so that runs on the same seeds can be paired."""

    @property
    def too_few(self) -> bool:
        """Whether it rests on fewer members or non-members than decide anything."""
        return any(count is not None and count < JUDGED_FROM for count in (self.members, self.non_members))


@dataclass(frozen=True)
class AuditRow:
    """One measured lower bound of epsilon, and the best that a perfect attack could have given in its place."""

    adversary: str
    observation: str
    statistic: str
    method: str
    assumption: str
    low: float
    ceiling: float
    counts: str
    """Canaries, guesses and right ones, or the counts at a threshold."""
    judged: bool
    """Whether it may be held against a claim; the others are true only under what they assume."""
    control: bool = False
    """Of the same federations with the noise off: shows what the audit can see."""
    reachable: float | None = None
    """What the strongest adversary of a mechanism exactly as claimed would have given; None: not worked out."""


@dataclass(frozen=True)
class AuditEstimate:
    """What epsilon is if the scores are as assumed, with its interval: an estimate, on which no verdict rests."""

    adversary: str
    observation: str
    statistic: str
    epsilon: float
    low: float
    high: float
    assumption: str


@dataclass(frozen=True)
class Audit:
    """Lower bounds of epsilon for what the coins play, and the claim brought to the same unit, relation and delta."""

    unit: str
    relation: str
    canaries: str
    """What a canary is."""
    m: int
    """Canaries of all federations together, whether guessed or not."""
    federations: int
    epsilon: float | None
    """The claim for this unit and relation; None: none, or infinite."""
    delta: float
    """That of the claim as it is compared; every bound is at this delta."""
    level: float
    """Of all judged rows together."""
    rows: tuple[AuditRow, ...]
    estimates: tuple[AuditEstimate, ...] = ()
    conversion: str = ""
    """How the claim was brought to this unit and relation; empty where it is about them anyway."""
    noise_draws: int = 0
    noise_fired: int = 0
    """Bounds above 0 among ``noise_draws`` audits of pure noise, of which ``noise_allowed`` are within chance."""
    noise_allowed: int = 0
    control: str = ""
    """What the control without noise was; empty where it was not run."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""


@dataclass(frozen=True)
class Verdict:
    """A claim held against findings."""

    claim: str
    source: str
    verdict: Kind
    why: str


@dataclass(frozen=True)
class Provenance:
    """Versions, seed and cost. Timings are the only part of a result that differs between equal runs."""

    versions: Mapping[str, str]
    seed: int
    seeds: int
    host_cores: int
    workers: int
    wall_seconds: float
    cpu_seconds: float
    data_digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """Everything a report shows."""

    config: Mapping[str, Any]
    utility: Mapping[str, Interval]
    baselines: tuple[Baseline, ...]
    communication: Communication
    privacy: PrivacyClaim
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    provenance: Provenance
    audit: Audit | None = None
    schema: str = SCHEMA
    cards: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Adversary -> what it knew, name to text, of attacks whose result hangs on it."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        content = asdict(self)
        return {"schema": content.pop("schema"), **_plain(content)}


def from_json(content: Mapping[str, Any]) -> RunResult:
    """The result that :meth:`RunResult.to_json` wrote. Raises ValueError on another schema, or what is no result."""
    if not isinstance(content, Mapping):
        raise ValueError("not a result of fedprivacy: it holds no table")
    if content.get("schema") != SCHEMA:
        raise ValueError(f"schema is {content.get('schema')!r}, this version reads {SCHEMA!r}")
    try:
        return _results().validate_python(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = ".".join(map(str, problem["loc"]))
        raise ValueError(f"not a result of fedprivacy: {path}: {problem['msg']}") from None


@cache
def _results() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)


def _plain(value: Any) -> Any:
    """Mappings and sequences of JSON values; a number that is not finite is an error, since JSON has none."""
    if isinstance(value, Mapping):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a result holds a number that is not finite")
    return value
