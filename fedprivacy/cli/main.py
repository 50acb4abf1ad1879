"""The command ``fedprivacy``: one verb a file, imported when it is used. Help and usage errors never import torch."""

from __future__ import annotations

import importlib
import sys

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
    "report": "Draw the report of a stored run again.",
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
def cli() -> None:
    """Judge the privacy of federated learning: run the protocol, record what crosses the wire, attack it.

    Start with:  fedprivacy run --protocol mutual --attack membership
    """


def main() -> None:
    """Entry point: every error the user can mend is one line on standard error and exit 2."""
    try:
        code = cli.main(prog_name="fedprivacy", standalone_mode=False)
    except UsageError as error:
        _fail(_as_typed(str(error)), 130 if isinstance(error, Interrupted) else 2)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(" ".join(error.format_message().split()))
    except (click.Abort, KeyboardInterrupt):
        click.echo("fedprivacy: interrupted.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _as_typed(message: str) -> str:
    """Settings by their flags. Imported here, so that ``--help`` needs no configuration."""
    from fedprivacy.cli.settings import in_flags

    return in_flags(message)


def _fail(message: str, code: int = 2) -> None:
    click.echo(f"fedprivacy: {message}", err=True)
    sys.exit(code)
