"""The report of scores, or of target and shadow logits, of models that were trained elsewhere.

What the file says of members is the truth that only the examiner uses; references are models whose members the file
tells. A model whose members are exactly those that another one left out is never its reference: the number of
references that lack a record would then give the record away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy import folder
from fedprivacy.adversary.threat import Float, Int, References, Signals, Truth
from fedprivacy.attacks.membership.assemble import Scored, score_target
from fedprivacy.attacks.membership.evidence import last_margins
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics import STATISTICS
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.run import AttackConfig
from fedprivacy.judge import verdicts
from fedprivacy.judge.result import Communication, Finding, PrivacyClaim, Provenance, RunResult, Verdict
from fedprivacy.judge.target import Label
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.study import contents
from fedprivacy.study.membership.judged import Judged, judged_findings, save_scores
from fedprivacy.study.membership.scores_file import Bank, ScoresFile
from fedprivacy.study.versions import versions
from fedprivacy.wire.parties import client_name

WHO = "reader of these scores"
VERSIONED = ("fedprivacy", "numpy", "scipy")

COUNTED = "the number of references that lack a record predicts membership"
DEPENDENT = COUNTED + (
    " (AUC {:.3f}): members were not drawn independently for each model, and statistics with references are inflated"
)


def judge_file(given: ScoresFile, attack: AttackConfig, where: Path | None = None) -> RunResult:
    """Findings and verdicts on ``given``, with the statistics, headline and level of ``attack``.

    With ``where`` the scores of the first target, and the result are written there.
    """
    start, cpu = time.perf_counter(), time.process_time()
    judged, notes = from_scores(given, attack) if given.bank is None else from_bank(given, given.bank, attack)
    title = "scores of a file" if given.bank is None else "logits of a file"
    label = Label(title, WHO, "", attack.level, True, "; ".join(notes))
    findings = judged_findings(judged, [0] * len(judged), label)
    result = _result(given, attack, findings, notes, time.perf_counter() - start, time.process_time() - cpu)
    if where is not None:
        save_scores(where / "scores" / "file.safetensors", judged[0], given.name)
        contents.note(where)
        folder.write_json(where / "result.json", result.to_json())
    return result


def from_scores(given: ScoresFile, attack: AttackConfig) -> tuple[list[list[Judged]], tuple[str, ...]]:
    """Clients of the one model, with the scores of the file; no notes."""
    for asked in (*attack.statistics, *filter(None, [attack.headline])):
        if asked not in given.scores:
            raise UsageError(f"{given.name} has no scores '{asked}'. {near_miss(asked, given.scores)}")
    names = attack.statistics or tuple(given.scores)
    headline = attack.headline or names[0]
    judged = []
    for client in np.unique(given.clients):
        rows = given.clients == client
        scored = Scored({name: given.scores[name][rows] for name in names}, headline, 0)
        unknown = np.full(int(rows.sum()), np.nan)
        judged.append(Judged(client_name(int(client)), scored, unknown, Truth(given.member[rows])))
    return [judged], ()


def from_bank(given: ScoresFile, bank: Bank, attack: AttackConfig) -> tuple[list[list[Judged]], tuple[str, ...]]:
    """Clients of every model that is a target, scored from logits, and notes."""
    logp = _log_probabilities(bank.logits)
    population = None if bank.population_logits is None else _log_probabilities(bank.population_logits)
    judged: list[list[Judged]] = []
    counts: list[Float] = []
    dropped = 0
    for target in range(bank.targets):
        others = [f for f in range(len(logp)) if f != target]
        kept = [f for f in others if (bank.member[f] == bank.member[target]).any()]
        dropped += len(others) - len(kept)
        counts.append((~bank.member[kept]).sum(axis=0) + 0.0)
        row = []
        own = log_softmax(bank.logits[target])
        own_population = None if bank.population_logits is None else log_softmax(bank.population_logits[target])
        for client in np.unique(given.clients):
            rows = np.flatnonzero(given.clients == client)
            references = None
            if kept:
                theirs = None if population is None else _part(population, kept)[:, None]
                references = References(_part(logp, kept, rows)[:, None], _part(bank.member, kept, rows), theirs)
            seen = np.ones((1, len(rows)), dtype=np.bool_)
            signals = Signals(
                own[None, rows],
                seen,
                seen,
                bank.labels[rows],
                references,
                None if own_population is None else own_population[None],
                bank.population_labels,
            )
            truth = Truth(bank.member[target][rows])
            row.append(Judged(client_name(int(client)), score_target(signals, attack), last_margins(signals), truth))
        judged.append(row)
    notes = [f"mean over {bank.targets} models, each a target with the others as references"] * (bank.targets > 1)
    if dropped:
        notes.append("a model trained on exactly the rest is no reference of its complement")
    notes += _dependence(bank, counts)
    return judged, tuple(notes)


def _log_probabilities(logits: Float) -> Float:
    """[F, n, C] -> [F, n, C] of the same type, a model at a time: nothing is held beside the two."""
    found = np.empty_like(logits)
    for one, answers in zip(found, logits, strict=True):
        one[:] = log_softmax(answers)
    return found


def _part(values: NDArray[Any], models: Sequence[int], rows: Int | None = None) -> NDArray[Any]:
    """[F, n, ...] -> [models, rows, ...], both ascending: a view where models are neighbours and no row lacks."""
    first, last = models[0], models[-1] + 1
    chosen = values[first:last] if len(models) == last - first else values[list(models)]
    return chosen if rows is None or len(rows) == values.shape[1] else chosen[:, rows]


def _dependence(bank: Bank, counts: Sequence[Float]) -> list[str]:
    """A note where the count of references that lack a record is itself an attack."""
    if len(bank.member) < 2:
        return []
    areas = []
    for count, member in zip(counts, bank.member[: bank.targets], strict=True):
        if np.ptp(count) > 0 and member.any() and not member.all():
            found = auc_interval(count[member], count[~member], 0.999)
            areas.append((found.value, found.low > 0.5 or found.high < 0.5))
    if not areas or not all(off for _, off in areas):
        return []
    return [DEPENDENT.format(float(np.mean([value for value, _ in areas])))]


def _verdicts(given: ScoresFile, findings: Sequence[Finding], notes: Sequence[str]) -> tuple[Verdict, ...]:
    """The verdict of the headline; nothing is refuted by what the references' members may have told."""
    found = verdicts.leakage(findings, "what these models answer", given.name)
    counted = next((note for note in notes if note.startswith(COUNTED)), None)
    names = {f.statistic for f in findings if f.headline}
    if counted is None or not any("references" in STATISTICS[name].needs for name in names if name in STATISTICS):
        return tuple(found)
    return tuple(replace(one, verdict="inconclusive", why=f"{counted}.") for one in found)


def _result(
    given: ScoresFile,
    attack: AttackConfig,
    findings: Sequence[Finding],
    notes: Sequence[str],
    wall: float,
    cpu: float,
) -> RunResult:
    return RunResult(
        config={"scores": given.name, "attack": {"level": attack.level, "attacks": ["membership"]}},
        utility={},
        baselines=(),
        communication=Communication(0, 0, 0, 0, 0, ()),
        privacy=PrivacyClaim("", "", None, 0.0, "", 0, "the file tells of no mechanism"),
        findings=tuple(findings),
        verdicts=_verdicts(given, findings, notes),
        provenance=Provenance(
            versions=versions(VERSIONED),
            seed=0,
            seeds=1,
            host_cores=os.cpu_count() or 1,
            workers=1,
            wall_seconds=round(wall, 2),
            cpu_seconds=round(cpu, 2),
            data_digest=given.digest,
            notes=tuple(notes),
        ),
    )
