"""An audit from start to result: a defended run with canaries, the same with the noise off, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.federation.interfaces import releases_of
from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.privacy.accountant import claim as claim_of
from fedprivacy.study import contents
from fedprivacy.study.audit.audited import PLAYED, STATED, Settings, audited, held
from fedprivacy.study.audit.guessed import not_judged
from fedprivacy.study.audit.scores import claimable
from fedprivacy.study.resolved import Study
from fedprivacy.study.run import Plan, carried_out, execute
from fedprivacy.study.stored import RESULT, same_data, same_version
from fedprivacy.study.variants import without_noise


def fair(study: Study) -> None:
    """Raise UsageError where coins are not fair: the bound and its ceiling are those of fair coins."""
    inclusion = study.federation.data.inclusion
    if inclusion != 0.5:
        raise UsageError(f"an audit rests on fair coins: data.inclusion must be 0.5 (it is {inclusion:g}).")


def check(study: Study) -> None:
    """Raise UsageError before any training where claim and coins, or claim and adversaries, do not fit together."""
    fair(study)
    env, played = study.environment(study.roots[0])
    study.protocol.check(env)
    canaries, guesses = len(study.roots) * int(played.flat_canaries.sum()), study.canaries.guesses
    if (guesses or 0) > canaries:
        raise UsageError(f"--guesses: {guesses} guesses need as many canaries; there are {canaries}.")
    defense = study.defense(env)
    if defense is None:
        return
    planned = claim_of(defense.events(env, releases_of(study.protocol, env)), study.delta)
    stated = PrivacyClaim.of(planned)
    held(stated, PLAYED[study.canaries.coins])
    why = [not_judged(study, stated, adversary, name) for adversary, name in study.seats.observations]
    if None not in why:
        raise UsageError(f"nothing to audit: {'; '.join(dict.fromkeys(filter(None, why)))}.")


def audit(study: Study, plan: Plan, control: bool = True) -> RunResult:
    """Run ``study`` (its attack decides who guesses), its control, and write the audited result into the run folder.

    An interrupted audit goes on with ``plan.resume``, like any run; the control lies in ``control/`` of its folder.
    """
    if "membership" not in study.attack.attacks:
        raise UsageError("an audit rests on the membership attack; add it to attack.attacks.")
    check(study)
    result = carried_out(study, plan)
    bare = without_noise(study.config) if control and result.privacy.epsilon is not None else None
    off = None
    if bare is not None:
        place = plan.where / "control"
        off_result = execute(bare, replace(plan, where=place, resume=plan.resume and place.exists()))
        off = (place, _what(result, off_result))
        result = _with_cost(result, off_result)
    found = audited(result, study, plan.where, off)
    contents.note(plan.where)
    folder.write_json(plan.where / RESULT, found.to_json())
    return found


def audit_stored(result: RunResult, study: Study, stored: Path, where: Path | None) -> RunResult:
    """The audit of the finished run in folder ``stored``, from its scores; nothing is trained.

    ``study`` is that of the run, with the statistics, level and guesses to use. Written to ``where`` if given.
    """
    if "membership" not in study.attack.attacks:
        raise UsageError(f"{stored} holds no scores of a membership attack: `fedprivacy attack {stored}` makes some.")
    fair(study)
    contents.assert_whole(stored)
    same_version(stored)
    same_data(stored, study.dataset.digest)
    found = audited(replace(result, config=study.config.model_dump(mode="json")), study, stored)
    if where is not None:
        contents.note(where)
        folder.write_json(where / RESULT, found.to_json())
    return found


def audit_recorded(
    result: RunResult, study: Study, attacked: Path, epsilon: float, delta: float, guesses: int | None = None
) -> RunResult:
    """The claim ``epsilon`` at ``delta`` about a federation that ran elsewhere, against what attacking its recording
    in folder ``attacked`` measured. All candidates of its game are canaries, and its coins say what the claim is about;
    ``guesses`` as in :class:`fedprivacy.config.canaries.CanaryConfig`.
    """
    claimable(epsilon)
    fair(study)
    played = PLAYED[study.canaries.coins]
    claim = PrivacyClaim(played.unit, played.relation, epsilon, delta, STATED, study.federation.rounds)
    chosen = Settings.of(study.attack.level, guesses, study.roots[0])
    return audited(replace(result, privacy=claim), study, attacked, settings=chosen)


def _what(result: RunResult, off: RunResult) -> str:
    """The control in words, with what the noise costs in accuracy."""
    mine, name = (str(one.config["defense"]["name"]) for one in (result, off))
    words = f"{mine} with its noise off" if name == mine else f"defense {name}"
    own, other = result.utility["test_accuracy"].mean, off.utility["test_accuracy"].mean
    return f"the same federations under {words} (test accuracy {100 * other:.1f}%, with the noise {100 * own:.1f}%)"


def _with_cost(result: RunResult, off: RunResult) -> RunResult:
    """The control's training is paid for as well."""
    own, other = result.provenance, off.provenance
    cost: dict[str, Any] = {
        "wall_seconds": round(own.wall_seconds + other.wall_seconds, 2),
        "cpu_seconds": round(own.cpu_seconds + other.cpu_seconds, 2),
    }
    return replace(result, provenance=replace(own, **cost))
