"""The command ``fedprivacy``: one verb a file, imported when it is used. Help and usage errors never import torch."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from typing import Any

import click

from fedprivacy import __version__
from fedprivacy.config.base import Interrupted, UsageError, near_miss

VERBS: dict[str, str] = {
    "run": "Run a protocol, attack what crossed the wire, and report.",
    "compare": "Several protocols on the same data, in one table.",
    "reproduce": "A paper's table beside ours, with the ablations that could explain it away.",
    "attack": "Attack a stored run again, or judge the scores of models trained elsewhere.",
    "audit": "A claimed epsilon beside the lower bound that is measured.",
    "sweep": "The privacy-utility frontier of a defense.",
    "check": "Whether a protocol, model, data set, defense or statistic of your own keeps what it must.",
    "report": "Draw the report of a stored run again.",
    "leaderboard": "Protocols held against each other under one versioned suite.",
    "list": "What exists: protocols, attacks, statistics, datasets, models, defenses, recipes.",
}


class Verbs(click.Group):
    """Loads ``fedprivacy.cli.VERB:command`` on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"fedprivacy.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            raise UsageError(f"No command '{args[0]}' exists. {near_miss(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fedprivacy")
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from; stands anywhere.")
def cli() -> None:
    """Judge the privacy of federated learning: run the protocol, record what crosses the wire, attack it.

    Start with:  fedprivacy run --protocol mutual --attack membership
    """


def main() -> None:
    """Entry point. Exit 0: done; 1: a stated limit broken; 2: the input is wrong; 3: anything else; 130: interrupted.

    Each but the first is one line on standard error.
    """
    words = sys.argv[1:]
    debug = "--debug" in words
    before = _on_termination(signal.default_int_handler)
    try:
        code = cli.main([word for word in words if word != "--debug"], prog_name="fedprivacy", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        _fail(error)
    finally:
        _on_termination(before)
    sys.exit(code if isinstance(code, int) else 0)


def _on_termination(handler: Any) -> Any:
    """Let a request to end be an interruption; returns what stood there before."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)


def _fail(error: BaseException) -> None:
    from fedprivacy.cli.say import say

    if isinstance(error, UsageError):
        from fedprivacy.cli.settings import in_flags  # here, so that --help needs no configuration

        message, code = in_flags(str(error)), 130 if isinstance(error, Interrupted) else 2
    elif isinstance(error, click.ClickException):
        message, code = error.format_message(), 2
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        message, code = "interrupted.", 130
    else:
        from fedprivacy.cli.trouble import UNFORESEEN, told

        message, code = told(error), UNFORESEEN
        _forget_output()
    say(f"fedprivacy: {message}")
    sys.exit(code)


def _forget_output() -> None:
    """Let nothing be written at exit to a standard output that takes nothing, such as a full disk."""
    with contextlib.suppress(OSError, ValueError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
