"""``--ray``: the jobs of a command on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from fedprivacy.config.base import UsageError
from fedprivacy.execution.run import CLUSTER, Cluster, on

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def on_cluster(command: CommandT) -> CommandT:
    """Decorator: add ``--ray`` and ``--ray-gpus``; jobs that the command runs go where they say."""
    for option in reversed(cluster_options()):
        command = option(command)
    return command


def cluster_options() -> tuple[Callable[[Any], Any], ...]:
    """Both flags."""
    return (_RAY, _GPUS)


def _chosen(context: click.Context, _: click.Parameter, address: str | None) -> None:
    if address is not None and find_spec("ray") is None:
        raise UsageError("--ray needs Ray: pip install 'fedprivacy[ray]'.")
    context.with_resource(on(None if address is None else Cluster(address)))


def _shared(_: click.Context, __: click.Parameter, gpus: float | None) -> None:
    if gpus is None:
        return
    cluster = CLUSTER.get()
    if cluster is None:
        raise UsageError("--ray-gpus does nothing without --ray.")
    CLUSTER.set(replace(cluster, gpus=gpus))


_RAY = click.option(
    "--ray",
    default=None,
    metavar="auto|ADDRESS",
    expose_value=False,
    is_eager=True,
    callback=_chosen,
    help="Run jobs on a Ray cluster (extra ray): one on this machine, or at HOST:PORT.",
)
_GPUS = click.option(
    "--ray-gpus",
    type=click.FloatRange(0, min_open=True),
    default=None,
    metavar="SHARE",
    expose_value=False,
    callback=_shared,
    help="Part of a GPU that each job takes under --ray, such as 0.25.",
)
