"""``--device``: where tensors live. ``auto`` is a GPU where torch has one, and else the CPU, which is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fedprivacy.cli.say import say

AUTO = "auto"


def _chosen(context: click.Context, option: click.Parameter, name: str) -> str:
    if name != AUTO:
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda"
    say("--device auto: torch finds no GPU on this machine, so the CPU it is.")
    return "cpu"


def on_device(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--device``."""
    words = "cpu, cuda, cuda:1 or mps; auto: a GPU where there is one."
    option = click.option("--device", default="cpu", show_default=True, metavar="NAME", callback=_chosen, help=words)
    return option(command)
