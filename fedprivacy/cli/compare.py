"""``fedprivacy compare``: several protocols on the same data and seeds, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fedprivacy import catalog
from fedprivacy.cli.say import put, say
from fedprivacy.cli.settings import configuration, configured
from fedprivacy.config.base import UsageError


@click.command("compare")
@click.argument("protocols", nargs=-1, required=True)
@configured(skip=frozenset({"protocol", "attack.adversaries"}))
@click.option("--out", default="runs", show_default=True, metavar="DIR", help="Folder that holds run folders.")
@click.option("--workers", type=int, default=None, metavar="N", help="Worker processes [default: number of cores].")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Torch device, such as cuda.")
@click.option("--resume", is_flag=True, help="Go on with unfinished runs.")
@click.option("--fresh", is_flag=True, help="Throw earlier runs of the same configurations away.")
@click.option("--format", "form", type=click.Choice(["table", "markdown"]), default="table", show_default=True)
def command(
    protocols: tuple[str, ...],
    out: str,
    workers: int | None,
    device: str,
    resume: bool,
    fresh: bool,
    form: str,
    **given: Any,
) -> None:
    """Several protocols on the same data and seeds, in one table: utility, bytes, leakage, with intervals.

    \b
    fedprivacy compare mutual fedavg --attack membership
    """
    from fedprivacy.cli.carry_out import carry_out, placed, ready

    if given.get("protocol_set"):
        raise UsageError("compare: --set belongs to one protocol; use `run` for each, or --config.")
    configs = []
    for name in protocols:
        silent = catalog.silent(name)
        flags = {flag: value for flag, value in given.items() if not (silent and flag.startswith("attack__"))}
        one = configuration({**flags, "protocol": name})
        if silent:
            one = one.model_copy(update={"attack": type(one.attack)()})
        ready(one, workers, device)
        configs.append(one)
    results = []
    for config in configs:
        where = placed(config, Path(out))
        say(f"{config.protocol}:")
        results.append(
            carry_out(config, where, workers, device, resume, fresh, False, False, "the same command with --resume")
        )
    from fedprivacy.reporting.compare import comparison_to_markdown, render_comparison

    if form == "markdown":
        put(comparison_to_markdown(results))
        return
    from fedprivacy.cli.output import Output
    from fedprivacy.cli.show import show_pictures

    console = Output()
    render_comparison(results, console)
    for config in configs:
        show_pictures(console, placed(config, Path(out)))
