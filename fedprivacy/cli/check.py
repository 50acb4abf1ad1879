"""``fedprivacy check``: the conformance suite of a part from outside. Exit 1: it breaks something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from fedprivacy import parts
from fedprivacy.cli.completion import of_catalog
from fedprivacy.cli.say import put
from fedprivacy.cli.settings import assignments, in_flags

if TYPE_CHECKING:
    from fedprivacy.config.named import Kind


@click.command("check")
@click.argument("part")
@click.option(
    "--kind",
    default=None,
    metavar="protocol|model|data|defense|statistic|observation|reconstruction|payload",
    help="What it is, where that cannot be told from what it offers.",
)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting of the part itself; repeatable.")
@click.option("--epsilon", type=float, default=None, metavar="NUMBER", help="Budget of a defense that is calibrated.")
@click.option(
    "--dataset",
    default="digits",
    show_default=True,
    metavar="NAME",
    help="Records that it is tried on.",
    shell_complete=of_catalog("datasets"),
)
@click.option("--data-dir", default=None, metavar="PATH", help="Where they lie, if they are not embedded.")
@click.option("--label", default=None, metavar="COLUMN", help="Column that holds the class, of a CSV or Parquet file.")
@click.option(
    "--model",
    default="mlp",
    show_default=True,
    metavar="NAME",
    help="Model that a protocol is tried with.",
    shell_complete=of_catalog("models"),
)
def command(
    part: str,
    kind: str | None,
    given: tuple[str, ...],
    epsilon: float | None,
    dataset: str,
    data_dir: str | None,
    label: str | None,
    model: str,
) -> int:
    """Look at a part of your own and say in words what it keeps and what it breaks.

    \b
    fedprivacy check mypkg.protocol:Mine
    fedprivacy check loop.py:federate --model nets.py:Net
    fedprivacy check nets.py:Net --dataset mnist5k

    A function that trains is tried with the model that it trains: name that one by --model.

    PART is module:Name, file.py:Name, or an installed entry point of the group fedprivacy.parts. It is imported and run
    with your rights.
    """
    options = assignments(given, "--set")
    if parts.outside(part):
        parts.exists(cast("Kind", kind or "protocol"), part, ())  # a mistyped name is told before torch is loaded
    from fedprivacy.study.conformance.check import check

    settings: dict[str, Any] = {
        "data": {"dataset": dataset, "data_dir": data_dir, "label": label},
        "training": {"model": model},
    }
    report = check(part, kind, options, epsilon, **settings)
    put(in_flags(f"{report}\n"))
    return int(not report.kept)
