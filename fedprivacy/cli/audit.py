"""``fedprivacy audit``: the epsilon that is claimed beside the lower bound that is measured. Exit 1: it was refuted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedprivacy.cli import mechanism as own
from fedprivacy.cli.carry_out import made_by_reading
from fedprivacy.cli.cluster import on_cluster
from fedprivacy.cli.device import on_device
from fedprivacy.cli.exact import on_exact
from fedprivacy.cli.flags import configured
from fedprivacy.cli.help import Command, settings_but
from fedprivacy.cli.limits import Limits, broken, limited
from fedprivacy.cli.run import again
from fedprivacy.cli.settings import configuration, fields_of, flag_of
from fedprivacy.cli.show import draw, show
from fedprivacy.cli.written import Destination, findings_of, illustrated, in_full, written
from fedprivacy.config.base import UsageError
from fedprivacy.study.audit.unchosen import unchosen
from fedprivacy.study.resolve import resolve

if TYPE_CHECKING:
    from fedprivacy.config.run import RunConfig
    from fedprivacy.judge.result import RunResult

WITH_RUN = frozenset({"attack.statistics", "attack.level", "canaries.guesses"})
"""Settings that mean something for a stored run."""

WITH_SCORES = frozenset({"attack.statistics", "attack.level", "canaries.guesses", "defense.epsilon", "defense.delta"})
"""Settings that mean something for scores from a file."""

OF_TRAINERS = frozenset({"attack.attacks", "attack.shadows"})
"""Settings of an attack that a recording decides."""

OF_ATTACKS = frozenset(path for path in fields_of() if path.startswith("attack.")) - OF_TRAINERS
WITH_RECORDING = OF_ATTACKS | {"training.model", "training.client_models", *(WITH_SCORES - OF_ATTACKS)}
"""Settings that mean something for a recording."""

OF_TRAINING = frozenset({"control", "resume", "workers", "device", "exact", "ray", "ray_gpus"})
"""Options of an audit that trains."""

IDLE_OF_OWN = frozenset({"out", "figures", "fail_above", "fail_below"})
"""Options that do nothing with a mechanism of one's own, beside those of training."""

COMMON = (
    "--defense",
    "--epsilon",
    "--delta",
    "--scores",
    "--mechanism",
    "--protocol",
    "--dataset",
    "--canaries",
    "--coins",
    "--seeds",
    "--control",
    "--config",
)
"""What most audits are made of."""


def _idle(given: Mapping[str, Any]) -> frozenset[str]:
    if given.get("mechanism"):
        return settings_but(own.WITH) | OF_TRAINING | {"protocol_set", "defense_set", "allow_code"} | IDLE_OF_OWN
    if given.get("scores"):
        return settings_but(WITH_SCORES) | OF_TRAINING | {"protocol_set", "defense_set", "allow_code"}
    return settings_but(WITH_RUN) | OF_TRAINING if given.get("run") else frozenset()


@click.command("audit", cls=Command, common=COMMON, idle=_idle)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option(
    "--scores",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.npz",
    help="Audit models trained elsewhere, from member flags and scores, against --epsilon and --delta.",
)
@click.option(
    "--control/--no-control", default=None, help="Train the same with the noise off and audit that too [default: yes]."
)
@own.mechanism_flags
@configured(defaults={"protocol": "the one in which the claim is read best"})
@click.option("--out", default=None, metavar="DIR", help="Folder that holds run folders [default: runs].")
@click.option("--workers", type=int, default=None, metavar="N", help="Worker processes [default: number of cores].")
@on_cluster
@on_device
@on_exact
@click.option("--resume", is_flag=True, help="Go on with an unfinished audit.")
@click.option("--fresh", is_flag=True, help="Throw an earlier audit of the same configuration away.")
@click.option("--allow-code", is_flag=True, help="Let code from outside that a stored run names run with your rights.")
@written
@illustrated
@in_full
@limited
def command(
    run: Path | None,
    scores: Path | None,
    mechanism: str | None,
    control: bool | None,
    out: str | None,
    workers: int | None,
    device: str,
    exact: bool,
    resume: bool,
    fresh: bool,
    allow_code: bool,
    form: str | None,
    output: Path | None,
    figures: bool,
    full: bool,
    fail_above: tuple[str, ...],
    fail_below: tuple[str, ...],
    **given: Any,
) -> int:
    """Hold a claimed epsilon against what an attack on canaries measures. Exit 1 where the claim is refuted.

    \b
    fedprivacy audit --defense dp-sgd --epsilon 4
    fedprivacy audit --protocol mutual --defense gaussian --epsilon 8 --canaries 200 --seeds 3
    fedprivacy audit --defense dp-fedavg --epsilon 4
    fedprivacy audit --defense gaussian --defense-set unit=client --coins client --epsilon 4
    fedprivacy audit runs/mutual-membership-mnist5k-1a2b3c4d
    fedprivacy audit RECORDING --model nets.py:Net --epsilon 4
    fedprivacy audit --scores FILE.npz --epsilon 4 --delta 1e-5
    fedprivacy audit --mechanism noise.py:noised --neighbours without,with --epsilon 1

    Every canary is in or out by a coin of its own, and is guessed once. Two bounds decide: the one-run test of Steinke
    et al. (2023) at the claim's delta, which assumes nothing on the mechanism, and that of the claim's own trade-off
    curve (Mahloujifar et al. 2024), which assumes nothing beyond what is claimed. Bounds that assume more are listed
    apart and decide nothing. A bound of 0 is no evidence of privacy.

    Unless told otherwise, canaries are made for what the claim lets its adversary see. Where noised steps of training,
    noised updates or noised predictions can be read, every candidate has pixels of its own, or every client two
    opposite halves, and the known noise is reckoned with; without --protocol a federation is trained in which that
    reading is strongest. Elsewhere three quarters are out-of-distribution canaries, guessed on by a server that plants
    them in public folds, or reads weights. FILE.npz: see `fedprivacy attack --help`.
    """
    from fedprivacy.recording.files import is_recording

    limits = Limits.parsed(fail_above, fail_below)
    to = Destination.of(form, output, fresh, full)
    if sum(one is not None for one in (run, scores, mechanism)) > 1:
        raise UsageError("audit takes one of a stored run, --scores FILE.npz and --mechanism FILE.py:F.")
    flags = {name: given.pop(name) for name in own.FLAGS}
    if mechanism is not None:
        _refuse(given, own.WITH, "--mechanism", control, resume)
        if out is not None or figures or limits != Limits():
            raise UsageError(
                "--out, --figures and limits do nothing with --mechanism; --output FILE writes what is told."
            )
        return own.audited(mechanism, given, flags, to)
    for name, value in flags.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} does nothing without --mechanism.")
    if scores is not None:
        _refuse(given, WITH_SCORES, "--scores", control, resume)
        with made_by_reading(out, f"audit-scores-{scores.stem}", fresh) as where:
            result = _of_scores(scores, given, where)
    elif run is not None and is_recording(run):
        _refuse(given, WITH_RECORDING, "a recording", control, resume)
        result, where = _of_recording(run, given, out, device, fresh, to)
    elif run is not None:
        _refuse(given, WITH_RUN, "a stored run", control, resume)
        with made_by_reading(out, f"audit-{run.resolve().name}", fresh) as where:
            result = _of_run(run, given, where, allow_code)
    else:
        config = configuration(given, base(given))
        where, result = _trained(
            config, control is not False, Path(out or "runs"), workers, device, exact, resume, fresh, to
        )
    to.deliver(findings_of(result, where), lambda: show(result, where, to.full, "audit"))
    if figures:
        draw(result, where)
    refuted = any(verdict.verdict == "refuted" for verdict in result.verdicts)
    return max(int(refuted), broken(result, limits))


def base(given: dict[str, Any]) -> dict[str, Any]:
    """Settings of an audit that nobody chose."""
    free = not given.get("protocol") and not given.get("config")
    return unchosen(lambda content: configuration(given, content), free)


def _trained(
    config: RunConfig,
    control: bool,
    out: Path,
    workers: int | None,
    device: str,
    exact: bool,
    resume: bool,
    fresh: bool,
    to: Destination,
) -> tuple[Path, RunResult]:
    from fedprivacy.cli.carry_out import placed, ready, taken_up

    study = ready(config, workers, device)
    from fedprivacy.study.audit.run import audit

    where = _beside(out, placed(config, out).name)
    result = taken_up(
        lambda plan: audit(study, plan, control),
        study,
        where,
        workers,
        device,
        resume,
        fresh,
        False,
        to.form == "json",
        again(where, str(out)),
        lambda stored: stored.audit is not None,
        exact,
    )
    return where, result


def _beside(out: Path, name: str) -> Path:
    return out / f"audit-{name}"


def _refuse(given: dict[str, Any], useful: frozenset[str], what: str, *flags: bool | None) -> None:
    """Raise UsageError for a setting that would do nothing."""
    if any(flags):
        raise UsageError(f"--control and --resume do nothing with {what}: nothing is trained.")
    for path in fields_of():
        if given.get(path.replace(".", "__")) not in (None, ()) and path not in useful:
            able = ", ".join(sorted(map(flag_of, useful)))
            raise UsageError(f"{flag_of(path)} does nothing with {what}; what does: {able}.")


def _of_run(run: Path, given: dict[str, Any], where: Path | None, allow_code: bool) -> RunResult:
    from fedprivacy.cli.carry_out import read_result, trusted
    from fedprivacy.study import stored

    with stored.reading(run):
        config = configuration(given, stored.read_config(run))
        trusted(config, run, allow_code)
        from fedprivacy.study.audit.run import audit_stored

        return audit_stored(read_result(run), resolve(config), run, where)


def _of_recording(
    run: Path, given: dict[str, Any], out: str | None, device: str, fresh: bool, to: Destination
) -> tuple[RunResult, Path]:
    """A recording attacked in a folder beside it, and the claim about it held against what was found."""
    epsilon = given.pop("defense__epsilon", None)
    if epsilon is None:
        raise UsageError(f"audit {run}: say what is claimed, with --epsilon and, unless it is 1e-5, --delta.")
    models = [one for name in ("training__client_models", "training__model") if (one := given.pop(name, None))]
    from fedprivacy.cli.attack import recorded
    from fedprivacy.cli.settings import parsed
    from fedprivacy.study.audit.run import audit_recorded

    asked = configuration(given)
    names = tuple(name for one in models[:1] for name in one.split(","))
    attacked = {name: value for name, value in given.items() if name.startswith("attack__")}
    result, study, where = recorded(run, names, out, device, fresh, to, attacked)
    claimed = float(parsed(epsilon, float, "--epsilon"))
    return audit_recorded(result, study, where, claimed, asked.defense.delta, asked.canaries.guesses), where


def _of_scores(scores: Path, given: dict[str, Any], where: Path | None) -> RunResult:
    config = configuration({**given, "defense__epsilon": None})
    epsilon = given.get("defense__epsilon")
    if epsilon is None:
        raise UsageError("--scores: say what is claimed, with --epsilon and, unless it is 1e-5, --delta.")
    from fedprivacy.cli.settings import parsed
    from fedprivacy.study.audit.scores import audit_file
    from fedprivacy.study.membership.scores_file import read_scores

    claim = (float(parsed(epsilon, float, "--epsilon")), config.defense.delta, config.canaries.guesses)
    return audit_file(read_scores(scores), config.attack, *claim, where)
