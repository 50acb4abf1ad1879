"""``--exact``: shadow federations one by one, the reference for those that are trained side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

WORDS = "Train shadow federations one by one, also where several at once are faster."


def exact_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option, for a group of options."""
    return click.option("--exact", is_flag=True, help=WORDS)


def on_exact(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--exact``."""
    return exact_option()(command)
