"""The result of a run, from what its jobs left on disk: findings, verdicts, utility, bytes, the claim, provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.observations import what_is_read
from fedprivacy.adversary.position import Adversary
from fedprivacy.attacks.membership.headline import asked_for, declared
from fedprivacy.config.federation import FederationSettings
from fedprivacy.judge import verdicts
from fedprivacy.judge.corrected import judged_federations
from fedprivacy.judge.result import (
    Baseline,
    Communication,
    Finding,
    PrivacyClaim,
    Provenance,
    RunResult,
    Verdict,
)
from fedprivacy.privacy import event_from_json
from fedprivacy.privacy.accountant import claim
from fedprivacy.study.inversion.findings import inversion_findings
from fedprivacy.study.label_inference import label_findings
from fedprivacy.study.membership.findings import membership
from fedprivacy.study.membership.kept import Kept
from fedprivacy.study.membership.stacked import is_stacked, stacked
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.stolen import theft_findings
from fedprivacy.study.utility import paired, utility_of
from fedprivacy.study.versions import versions

VERSIONED = ("fedprivacy", "torch", "torchvision", "numpy", "scipy", "opacus", "dp-accounting", "safetensors")


def assembled(
    study: Study, repetitions: Sequence[Repetition], workers: int, wall: float, cpu: float, notes: Sequence[str] = ()
) -> RunResult:
    """Findings and verdicts from what the jobs left on disk, with what it cost in seconds.

    ``notes`` are printed with the provenance.
    """
    wire, seats, level = study.wire, study.seats, study.attack.level
    findings: list[Finding] = []
    known = granted(study.attack, wire)
    together: list[Finding] = []
    for adversary in seats.observers:
        kept = Kept() if is_stacked(study, adversary) else None
        for name in seats.observed_by(adversary):
            findings += membership(study, repetitions, adversary, name, kept)
        together += [] if kept is None else stacked(study, repetitions, adversary, kept)
    findings = [replace(f, knowledge=known) for f in (*findings, *together)]
    findings += label_findings(study, repetitions)
    findings += theft_findings(study, repetitions)
    reconstructed, cards = inversion_findings(study, repetitions)
    findings += reconstructed
    own = [r.summary["utility"] for r in repetitions]
    utility = utility_of(own, level)
    compared = study.baselines if repetitions[0].baselines else {}
    baselines, gaps = [], {}
    for name, yardstick in compared.items():
        others = [r.baselines[name] for r in repetitions]
        theirs = [other["utility"] for other in others]
        up, down = _directions(others)
        baselines.append(Baseline(name, yardstick.why, utility_of(theirs, level), up, down))
        gap = paired(own, theirs, level)
        if gap is not None:
            gaps[name] = gap
    sizes = _communication(study.federation, repetitions)
    several = judged_federations(study.attack.targets, study.attack.shadows)
    read = {str(adversary): _read_by(study, adversary) for adversary in study.seats.observers}
    judged: list[Verdict] = verdicts.leakage(findings, wire.what_is_sent, "the claim that is tested", several, read)
    judged += verdicts.labels(findings, wire.what_is_sent, "the claim that is tested")
    judged += verdicts.theft(findings, wire.what_is_sent, "the claim that is tested")
    judged += verdicts.inversion(findings, wire.what_is_sent, "the claim that is tested")
    if utility:
        judged += verdicts.utility(wire.protocol, utility, baselines, gaps)
    judged += verdicts.bandwidth(
        wire.protocol, sizes, wire.averages_whole_models or len(wire.federation.architectures) > 1
    )
    return RunResult(
        config=study.config.model_dump(mode="json"),
        utility=utility,
        baselines=tuple(baselines),
        communication=sizes,
        privacy=_claim(study.delta, [r.summary for r in repetitions]),
        findings=tuple(findings),
        verdicts=tuple(judged),
        cards=cards,
        provenance=Provenance(
            versions=versions(VERSIONED),
            seed=study.roots[0],
            seeds=len(study.roots),
            host_cores=os.cpu_count() or 1,
            workers=workers,
            wall_seconds=round(wall, 2),
            cpu_seconds=round(cpu, 2),
            data_digest=repetitions[0].summary["data_digest"],
            notes=(*dict.fromkeys(note for r in repetitions for note in r.summary["notes"]), *notes),
        ),
    )


def _directions(summaries: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    up = np.mean([sum(u for u, _ in s["per_round"]) for s in summaries])
    down = np.mean([sum(d for _, d in s["per_round"]) for s in summaries])
    return round(float(up)), round(float(down))


def _read_by(study: Study, adversary: Adversary) -> str:
    """What of all that clients send the headline of ``adversary`` is read from; of a stack, all that it stacks."""
    theirs = study.seats.observed_by(adversary)
    carrying = declared(theirs, asked_for(study.attack))
    return what_is_read(study.wire, theirs if carrying is None else [carrying])


def _communication(federation: FederationSettings, repetitions: Sequence[Repetition]) -> Communication:
    summaries = [r.summary for r in repetitions]
    up, down = _directions(summaries)
    rounds = np.mean([s["per_round"] for s in summaries], axis=0).round().astype(int)
    return Communication(
        up_bytes=up,
        down_bytes=down,
        public_bytes=round(float(np.mean([s["public_bytes"] for s in summaries]))),
        payload_bytes=round(float(np.mean([s["payload_bytes"] for s in summaries]))),
        fedavg_bytes=_fedavg_bytes(federation, summaries),
        start_bytes=round(float(np.mean([s["start_bytes"] for s in summaries]))),
        per_round=tuple((int(a), int(b)) for a, b in rounds),
        per_seed=tuple(sum(map(sum, s["per_round"])) for s in summaries) if len(summaries) > 1 else (),
    )


def _fedavg_bytes(federation: FederationSettings, summaries: Sequence[Mapping[str, Any]]) -> int:
    """What federated averaging of the same models sends: uploads of the senders, the model to the participants."""
    messages = [sum(s["senders"]) + federation.together * federation.rounds for s in summaries]
    return round(float(np.mean([n * s["model_bytes"] for n, s in zip(messages, summaries, strict=True)])))


def _claim(delta: float, summaries: Sequence[Mapping[str, Any]]) -> PrivacyClaim:
    """What holds of every repetition: the claim of the largest epsilon, where seeds draw who takes part."""
    told = [([event_from_json(event) for event in one["events"]], one["records"]) for one in summaries]
    claims = [claim(events, delta, records=records) for events, records in told]
    return PrivacyClaim.of(max(claims, key=lambda one: (one.epsilon, one.vacuous)))
