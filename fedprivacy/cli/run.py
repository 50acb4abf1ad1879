"""``fedprivacy run``: the main job."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from fedprivacy.cli.cluster import on_cluster
from fedprivacy.cli.device import on_device
from fedprivacy.cli.exact import on_exact
from fedprivacy.cli.flags import configured
from fedprivacy.cli.help import Command
from fedprivacy.cli.limits import Limits, broken, limited
from fedprivacy.cli.settings import configuration
from fedprivacy.cli.show import draw, show
from fedprivacy.cli.written import Destination, findings_of, illustrated, in_full, written

COMMON = (
    "--protocol",
    "--attack",
    "--adversary",
    "--dataset",
    "--data-dir",
    "--model",
    "--clients",
    "--rounds",
    "--seeds",
    "--defense",
    "--epsilon",
    "--config",
)
"""What most runs are made of."""


@click.command("run", cls=Command, common=COMMON)
@configured()
@click.option("--out", default="runs", show_default=True, metavar="DIR", help="Folder that holds run folders.")
@click.option("--workers", type=int, default=None, metavar="N", help="Worker processes [default: number of cores].")
@on_cluster
@on_device
@on_exact
@click.option("--resume", is_flag=True, help="Go on with an unfinished run.")
@click.option("--fresh", is_flag=True, help="Throw an earlier run of the same configuration away.")
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="Train the local baselines too.")
@written
@illustrated
@in_full
@limited
def command(
    out: str,
    workers: int | None,
    device: str,
    exact: bool,
    resume: bool,
    fresh: bool,
    baselines: bool,
    form: str | None,
    output: Path | None,
    figures: bool,
    full: bool,
    fail_above: tuple[str, ...],
    fail_below: tuple[str, ...],
    **given: Any,
) -> int:
    """Run a protocol, attack what crossed the wire, and report.

    \b
    fedprivacy run --protocol mutual --attack membership
    fedprivacy run --protocol fedavg --attack membership --shadows 16 --seeds 3
    fedprivacy run --protocol mutual --set kl=literal --dataset facemask --data-dir DIR
    """
    limits = Limits.parsed(fail_above, fail_below)
    to = Destination.of(form, output, fresh, full)
    config = configuration(given)
    limits.assert_measured(config)
    from fedprivacy.cli.carry_out import carry_out, placed, ready

    study = ready(config, workers, device)
    where = placed(config, Path(out))
    quiet, words = to.form == "json", again(where, out)
    result = carry_out(study, where, workers, device, resume, fresh, baselines, quiet, words, exact)
    to.deliver(findings_of(result, where), lambda: show(result, where, to.full, "run"))
    if figures:
        draw(result, where)
    return broken(result, limits)


def again(where: Path, out: str) -> str:
    """The command that goes on with the run in ``where``."""
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--fresh")]
    return "fedprivacy " + " ".join(map(shlex.quote, [*words, "--resume"]))
