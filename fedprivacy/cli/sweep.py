"""``fedprivacy sweep``: the privacy-utility frontier of a defense."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import click

from fedprivacy.cli.cluster import on_cluster
from fedprivacy.cli.device import on_device
from fedprivacy.cli.exact import on_exact
from fedprivacy.cli.flags import configured
from fedprivacy.cli.help import Command
from fedprivacy.cli.limits import Limits, broken, limited
from fedprivacy.cli.say import say
from fedprivacy.cli.settings import configuration
from fedprivacy.cli.written import Destination, written
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DefenseConfig, RunConfig

COMMON = (
    "--epsilon",
    "--defense",
    "--delta",
    "--protocol",
    "--attack",
    "--adversary",
    "--dataset",
    "--data-dir",
    "--rounds",
    "--seeds",
    "--config",
    "--format",
)
"""What most sweeps are made of."""


@click.command("sweep", cls=Command, common=COMMON)
@click.option(
    "--epsilon",
    "epsilons",
    default="0.5,1,2,4,8,inf",
    show_default=True,
    metavar="A,B,...",
    help="Budgets of the whole run; inf is the run without a defense.",
)
@configured(skip=frozenset({"defense.epsilon", "defense.sigma"}))
@click.option("--out", default="runs", show_default=True, metavar="DIR", help="Folder that holds run folders.")
@click.option("--workers", type=int, default=None, metavar="N", help="Worker processes [default: number of cores].")
@on_cluster
@on_device
@on_exact
@click.option("--resume", is_flag=True, help="Go on with unfinished runs.")
@click.option("--fresh", is_flag=True, help="Throw earlier runs of the same configurations away.")
@written
@limited
def command(
    epsilons: str,
    out: str,
    workers: int | None,
    device: str,
    exact: bool,
    resume: bool,
    fresh: bool,
    form: str | None,
    output: Path | None,
    fail_above: tuple[str, ...],
    fail_below: tuple[str, ...],
    **given: Any,
) -> int:
    """The privacy-utility frontier: the same run under several budgets, with accuracy, leakage and bytes.

    \b
    fedprivacy sweep --epsilon 1,4,16,inf --defense dp-sgd --attack membership --seeds 3

    Limits hold for the runs with a defense; the run without it is there to compare with.
    """
    from fedprivacy.cli.carry_out import carry_out, placed, ready

    limits = Limits.parsed(fail_above, fail_below)
    to = Destination.of(form, output, fresh)
    base = configuration(given)
    if base.defense.name == "none":
        raise UsageError("sweep: name a defense with --defense, such as dp-sgd; see `fedprivacy list defenses`.")
    limits.assert_measured(base)
    configs = [under(base, epsilon) for epsilon in _budgets(epsilons)]
    studies = [ready(config, workers, device) for config in configs]
    results, labels = [], []
    for config, study in zip(configs, studies, strict=True):
        budget = config.defense.epsilon
        labels.append("no defense" if budget is None else f"{config.defense.name}, epsilon {budget:g}")
        say(f"{labels[-1]}:")
        again = "the same command with --resume"
        where = placed(config, Path(out))
        results.append(carry_out(study, where, workers, device, resume, fresh, False, False, again, exact))
    from fedprivacy.cli.several import Several, told

    name = hashlib.sha256(" ".join(config.digest() for config in configs).encode()).hexdigest()[:8]
    folder = Path(out) / f"sweep-{base.protocol}-{base.defense.name}-{name}"
    several = Several(results, labels, judged=False)
    names = several.keep(folder)
    to.deliver(several.findings, several.show)
    told(folder, names, to)
    defended = [pair for pair in zip(results, labels, configs, strict=True) if pair[2].defense.name != "none"]
    return max((broken(result, limits, label) for result, label, _ in defended), default=0)


def _budgets(text: str) -> list[float]:
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            value = float(part)
        except ValueError:
            raise UsageError(f"--epsilon: '{part}' is not a number or inf.") from None
        if not value > 0:
            raise UsageError(f"--epsilon: {part} is not above 0.")
        found.append(value)
    if not found:
        raise UsageError("--epsilon: give at least one budget, such as 1,4,inf.")
    return found


def under(config: RunConfig, epsilon: float) -> RunConfig:
    """The same run with ``epsilon`` for the whole of it; infinite: without the defense."""
    if math.isinf(epsilon):
        return config.model_copy(update={"defense": DefenseConfig(delta=config.defense.delta)})
    return config.model_copy(update={"defense": config.defense.model_copy(update={"epsilon": epsilon})})
