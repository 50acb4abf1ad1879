"""``fedprivacy attack``: a stored run attacked again without training, or the scores of models trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedprivacy.cli.carry_out import made_by_reading
from fedprivacy.cli.device import on_device
from fedprivacy.cli.flags import configured
from fedprivacy.cli.help import Command, settings_but
from fedprivacy.cli.limits import Limits, broken, limited
from fedprivacy.cli.say import say
from fedprivacy.cli.settings import configuration, fields_of, flag_of
from fedprivacy.cli.show import draw, show
from fedprivacy.cli.written import Destination, findings_of, illustrated, in_full, written
from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult
    from fedprivacy.study.resolved import Study


def _is_of_attack(path: str) -> bool:
    return path.startswith("attack.") and path != "attack.shadows"


OTHERS = frozenset({"options", "defense.options", *(path for path in fields_of() if not _is_of_attack(path))})
"""Settings of the federation, which is over."""

WITH_SCORES = frozenset({"attack.statistics", "attack.headline", "attack.level"})
"""Settings that mean something for scores from a file."""

COMMON = (
    "--scores",
    "--attack",
    "--adversary",
    "--statistic",
    "--headline",
    "--level",
    "--known-share",
    "--effort",
    "--budget",
    "--model",
    "--out",
    "--format",
)
"""What most attacks on what is stored are made of."""


def _idle(given: Mapping[str, Any]) -> frozenset[str]:
    return settings_but(WITH_SCORES) | {"models", "device", "allow_code"} if given.get("scores") else frozenset()


@click.command("attack", cls=Command, common=COMMON, idle=_idle)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option(
    "--scores",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.npz",
    help="Judge models trained elsewhere, from their scores or logits, instead of a stored run.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Architecture of a recording where it is not fedprivacy's own, such as nets.py:Net; repeat it by client.",
)
@configured(skip=OTHERS)
@click.option("--out", default=None, metavar="DIR", help="Folder for the new run folder [default: beside RUN].")
@click.option("--allow-code", is_flag=True, help="Let code from outside that a stored run names run with your rights.")
@on_device
@click.option("--fresh", is_flag=True, help="Replace what the same attack left before.")
@written
@illustrated
@in_full
@limited
def command(
    run: Path | None,
    scores: Path | None,
    models: tuple[str, ...],
    out: str | None,
    device: str,
    allow_code: bool,
    fresh: bool,
    form: str | None,
    output: Path | None,
    figures: bool,
    full: bool,
    fail_above: tuple[str, ...],
    fail_below: tuple[str, ...],
    **given: Any,
) -> int:
    """Attack a stored run again: other adversaries, statistics or levels, on the transcript as it was recorded.

    \b
    fedprivacy attack runs/mutual-membership-mnist5k-1a2b3c4d --adversary client-2 --statistic loss,ratio
    fedprivacy attack RECORDING --model nets.py:Net          a federation that ran elsewhere: see docs/recording.md
    fedprivacy attack --scores FILE.npz

    With --scores, FILE.npz holds `member` [n] (0 or 1) and one of:

    \b
    scores [n], or scores_NAME [n] for several       higher says member
    labels [n], target_logits [n, C]                 and shadow_logits [S, n, C], shadow_member [S, n]
    labels [n], logits [F, n, C], member [F, n]      every model a target, the others its references

    and, if wanted, `client` [n], whose record each is, and records that nobody trained on: population_labels [M] with
    population_target_logits [M, C] and population_shadow_logits [S, M, C], or population_logits [F, M, C].
    """
    limits = Limits.parsed(fail_above, fail_below)
    if (run is None) == (scores is None):
        raise UsageError("attack needs a stored run, or --scores FILE.npz, and not both.")
    to = Destination.of(form, output, fresh, full)
    if scores is not None:
        result, place = _foreign(scores, out, fresh, to, given)
        if figures:
            draw(result, place)
        return broken(result, limits)
    assert run is not None
    from fedprivacy.recording.files import is_recording

    if is_recording(run):
        result, _, where = recorded(run, models, out, device, fresh, to, given)
        to.deliver(findings_of(result, where), lambda: show(result, where, to.full, "attack"))
        if figures:
            draw(result, where)
        return broken(result, limits)
    if models:
        raise UsageError(f"--model is for a recording, and {run} is none; a stored run knows its models.")
    from fedprivacy.study import stored

    with stored.reading(run):
        base = stored.read_config(run)
        attack = base.setdefault("attack", {})
        attack["attacks"] = attack.get("attacks") or ["membership"]
        config = configuration(given, base)
        from fedprivacy.cli.carry_out import attacked_again, placed, ready, trusted

        trusted(config, run, allow_code)
        study = ready(config, None, device)
        where = placed(config, Path(out) if out else run.parent)
        result = attacked_again(study, run, where, device, fresh, to.form == "json")
        to.deliver(findings_of(result, where), lambda: show(result, where, to.full, "attack"))
        if figures:
            draw(result, where)
        return broken(result, limits)


def recorded(
    run: Path,
    models: tuple[str, ...],
    out: str | None,
    device: str,
    fresh: bool,
    to: Destination,
    given: dict[str, Any],
) -> tuple[RunResult, Study, Path]:
    """A recording attacked like a run, in a folder of its own beside it: what was found, by which study, where."""
    from fedprivacy.catalog import ATTACKS, EVERY
    from fedprivacy.cli.carry_out import carry_out, placed, ready
    from fedprivacy.recording.game import read_game
    from fedprivacy.study.every import with_every_attack
    from fedprivacy.study.recorded import configuration as recording

    wanted = given.pop("attack__attacks", None) or "membership"
    every = EVERY in wanted.split(",")
    attack = configuration({**given, "attack__attacks": ",".join(ATTACKS) if every else wanted}).attack
    config = recording(run, attack.model_dump(exclude_unset=True), models)
    if config.rounds < (planned := read_game(run).rounds):
        say(f"{run} holds {config.rounds} whole rounds of the {planned} that were planned; what is there is attacked.")
    config = with_every_attack(config) if every else config
    study = ready(config, None, device)
    where = placed(config, Path(out) if out else run.parent)
    again = "the same command"
    return carry_out(study, where, 1, device, not fresh, fresh, False, to.form == "json", again), study, where


def _foreign(
    scores: Path, out: str | None, fresh: bool, to: Destination, given: dict[str, Any]
) -> tuple[RunResult, Path | None]:
    """The report of a file; a run folder only where --out asks for one."""
    typed = (name.replace("__", ".") for name, value in given.items() if value not in (None, ()))
    other = next((path for path in typed if path not in WITH_SCORES), None)
    if other is not None:
        flag = flag_of(other)
        raise UsageError(f"{flag} does nothing with --scores; what does: --statistic, --headline, --level.")
    config = configuration(given)
    from fedprivacy.study import check
    from fedprivacy.study.membership.foreign import judge_file
    from fedprivacy.study.membership.scores_file import read_scores

    read = read_scores(scores)
    if read.bank is not None:
        check.statistics(config.attack)
    with made_by_reading(out, f"scores-{scores.stem}", fresh) as where:
        result = judge_file(read, config.attack, where)
    to.deliver(findings_of(result, where), lambda: show(result, where, to.full, "attack"))
    return result, where
