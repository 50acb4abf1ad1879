"""An audit from start to result: a defended run with canaries, the same with the noise off, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DefenseConfig, RunConfig
from fedprivacy.federation.interfaces import releases_of
from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.privacy.accountant import claim as claim_of
from fedprivacy.study import contents
from fedprivacy.study.audit.audited import PLAYED, STATED, audited, held
from fedprivacy.study.audit.guessed import not_judged
from fedprivacy.study.audit.scores import claimable
from fedprivacy.study.dataset import dataset_of
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute
from fedprivacy.study.stored import RESULT, same_data, same_version

NOISELESS: Mapping[str, str] = {"randomized-response": "label-only"}
"""What is left of a defense with the noise off, where it does not take sigma = 0."""


def without_noise(config: RunConfig) -> RunConfig | None:
    """The same run with the noise off, clipping and all else as it is; None where there is no noise to turn off."""
    defense = config.defense
    if defense.epsilon is None and defense.sigma is None and "epsilon0" not in defense.options:
        return None
    if defense.name in NOISELESS:
        bare = DefenseConfig(name=NOISELESS[defense.name], delta=defense.delta)
    else:
        bare = defense.model_copy(update={"epsilon": None, "sigma": 0.0})
    return config.model_copy(update={"defense": bare})


def fair(config: RunConfig) -> None:
    """Raise UsageError where coins are not fair: the bound and its ceiling are those of fair coins."""
    if config.data.inclusion != 0.5:
        raise UsageError(f"an audit rests on fair coins: data.inclusion must be 0.5 (it is {config.data.inclusion:g}).")


def check(config: RunConfig) -> None:
    """Raise UsageError before any training where claim and coins, or claim and adversaries, do not fit together."""
    study = resolve(config)
    fair(config)
    env, played = study.environment(config.seed)
    study.protocol.check(env)
    canaries = config.seeds * int(played.flat_canaries.sum())
    if (config.canaries.guesses or 0) > canaries:
        raise UsageError(f"--guesses: {config.canaries.guesses} guesses need as many canaries; there are {canaries}.")
    defense = study.defense(env)
    if defense is None:
        return
    planned = claim_of(defense.events(env, releases_of(study.protocol, env)), config.defense.delta)
    stated = PrivacyClaim.of(planned)
    held(stated, PLAYED[config.canaries.coins])
    why = [not_judged(study, stated, adversary, name) for adversary, name in study.seats.observations]
    if None not in why:
        raise UsageError(f"nothing to audit: {'; '.join(dict.fromkeys(filter(None, why)))}.")


def audit(config: RunConfig, plan: Plan, control: bool = True) -> RunResult:
    """Run ``config`` (its attack decides who guesses), its control, and write the audited result into the run folder.

    An interrupted audit goes on with ``plan.resume``, like any run; the control lies in ``control/`` of its folder.
    """
    if "membership" not in config.attack.attacks:
        raise UsageError("an audit rests on the membership attack; add it to attack.attacks.")
    check(config)
    result = execute(config, plan)
    bare = without_noise(config) if control and result.privacy.epsilon is not None else None
    off = None
    if bare is not None:
        place = plan.where / "control"
        off_result = execute(bare, replace(plan, where=place, resume=plan.resume and place.exists()))
        off = (place, _what(config, result, off_result))
        result = _with_cost(result, off_result)
    found = audited(result, config, plan.where, off)
    contents.note(plan.where)
    folder.write_json(plan.where / RESULT, found.to_json())
    return found


def audit_stored(result: RunResult, config: RunConfig, stored: Path, where: Path | None) -> RunResult:
    """The audit of the finished run in folder ``stored``, from its scores; nothing is trained.

    ``config`` is that of the run, with the statistics, level and guesses to use. Written to ``where`` if given.
    """
    if "membership" not in config.attack.attacks:
        raise UsageError(f"{stored} holds no scores of a membership attack: `fedprivacy attack {stored}` makes some.")
    fair(config)
    contents.assert_whole(stored)
    same_version(stored)
    same_data(stored, dataset_of(config.data).digest)
    found = audited(replace(result, config=config.model_dump(mode="json")), config, stored)
    if where is not None:
        contents.note(where)
        folder.write_json(where / RESULT, found.to_json())
    return found


def audit_recorded(result: RunResult, config: RunConfig, attacked: Path, epsilon: float, delta: float) -> RunResult:
    """The claim ``epsilon`` at ``delta`` about a federation that ran elsewhere, against what attacking its recording
    in folder ``attacked`` measured. All candidates of its game are canaries, and its coins say what the claim is about.
    """
    claimable(epsilon)
    fair(config)
    played = PLAYED[config.canaries.coins]
    claim = PrivacyClaim(played.unit, played.relation, epsilon, delta, STATED, config.rounds)
    return audited(replace(result, privacy=claim), config, attacked)


def _what(config: RunConfig, result: RunResult, off: RunResult) -> str:
    """The control in words, with what the noise costs in accuracy."""
    name = str(off.config["defense"]["name"])
    words = f"{config.defense.name} with its noise off" if name == config.defense.name else f"defense {name}"
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
