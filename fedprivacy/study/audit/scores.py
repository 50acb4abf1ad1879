"""The audit of a claim about models that were trained elsewhere, from member flags and scores in a file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy

from fedprivacy import folder
from fedprivacy.attacks.membership.statistics.outside import statistic as made
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import AttackConfig
from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.privacy.comparable import Comparable
from fedprivacy.study import contents
from fedprivacy.study.audit.audited import STATED, Settings, audit_of
from fedprivacy.study.audit.guessed import Guessed
from fedprivacy.study.audit.verdict import verdicts_of
from fedprivacy.study.membership.foreign import COUNTED, WHO, from_bank, from_scores, judge_file
from fedprivacy.study.membership.scores_file import ScoresFile
from fedprivacy.study.stored import RESULT

SEED = 0
"""Of the order in which equal scores are guessed, and of the noise that controls the bounds."""

UNFAIR = 1e-6
"""Probability, under fair coins, of as uneven a split, below which flags are refused."""

ASSUMED = "The flags of the file are taken for fair independent coins, one a record, in or out."


def audit_file(
    given: ScoresFile,
    attack: AttackConfig,
    epsilon: float,
    delta: float,
    guesses: int | None = None,
    where: Path | None = None,
) -> RunResult:
    """The claim ``epsilon`` at ``delta`` for one record (add-remove), against the scores of ``given``.

    Of several models in the file the first is judged: the others are its references with known members. Without
    statistics to use, the first scores of the file, or the default statistic of logits. With ``where`` scores and
    result are written there. Raises UsageError for a statistic with references where their members tell those of the
    judged model, as in a bank with each record in exactly half of the models: it would refute a model that tells
    nothing.
    """
    claimable(epsilon)
    _fair(given)
    judged, told = from_scores(given, attack) if given.bank is None else from_bank(given, given.bank, attack)
    targets, rows = judged[0], []
    counted = next((note for note in told if note.startswith(COUNTED)), None)
    groups = np.concatenate([np.full(len(one.truth.coins), k, dtype=np.int64) for k, one in enumerate(targets)])
    coins = np.concatenate([one.truth.coins for one in targets])
    for statistic in attack.statistics or (targets[0].scored.headline,):
        if counted is not None and "references" in made(statistic).needs:
            raise UsageError(f"statistic {statistic}: {counted}. Audit with --statistic loss, which uses none.")
        parts = [one.scored.scores[statistic] for one in targets]
        failed = next((words for words in parts if isinstance(words, str)), None)
        if failed is not None:
            raise UsageError(f"statistic {statistic}: {failed}.")
        scores = np.concatenate([np.asarray(part) for part in parts])
        seen = ~np.isnan(scores)
        rows.append(Guessed(WHO, "scores of a file", statistic, scores[seen], coins[seen], groups[seen], 1))
    stated = PrivacyClaim("record", "add-remove", epsilon, delta, STATED, 1, adversary=WHO)
    found = audit_of(rows, Comparable(epsilon, delta), delta, "record", Settings.of(attack.level, guesses, SEED))
    found = replace(found, canaries="records of the file", notes=(ASSUMED,))
    base = judge_file(given, attack)
    result = replace(base, privacy=stated, audit=found, verdicts=verdicts_of(stated, found))
    if where is not None:
        contents.note(where)
        folder.write_json(where / RESULT, result.to_json())
    return result


def claimable(epsilon: float) -> None:
    """Raise UsageError for an ``epsilon`` that nobody can claim."""
    if not math.isfinite(epsilon) or epsilon <= 0:
        raise UsageError(f"--epsilon: a claim is a finite number above 0, and {epsilon:g} is none.")


def _fair(given: ScoresFile) -> None:
    """Raise UsageError where the flags of the judged model cannot have come from fair coins."""
    flags = given.member if given.member.ndim == 1 else given.member[0]
    inside = int(flags.sum())
    if scipy.stats.binomtest(inside, len(flags)).pvalue < UNFAIR:
        raise UsageError(
            f"{given.name}: {inside:,} of {len(flags):,} flags say member. The bound rests on fair coins, one a "
            "record; audit records that were in or out with probability one half."
        )
