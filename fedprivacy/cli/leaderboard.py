"""``fedprivacy leaderboard``: protocols held against each other under one versioned suite."""

from __future__ import annotations

from pathlib import Path

import click

from fedprivacy.cli.say import put, tell
from fedprivacy.config.base import UsageError

BOARD = click.option(
    "--board",
    type=click.Path(path_type=Path),
    default=Path("reports/leaderboard"),
    show_default=True,
    metavar="DIR",
    help="Folder of the entries, one JSON file a protocol, and of the page.",
)


@click.group("leaderboard")
def command() -> None:
    """Protocols held against each other under one versioned suite; numbers of other versions stand apart.

    \b
    fedprivacy leaderboard settings > suite.toml
    fedprivacy run --config suite.toml --protocol mine.py:Mine
    fedprivacy leaderboard add runs/mine-membership-digits-1a2b3c4d --by "A. Name"
    """


@command.command("add")
@click.argument("result", type=click.Path(path_type=Path))
@BOARD
@click.option("--by", required=True, metavar="NAME", help="Who ran it, as it stands on the board; ours: this project.")
def add(result: Path, board: Path, by: str) -> None:
    """Put a run of the suite (its folder, or its result.json) on the board, and make the page again."""
    from fedprivacy.cli.carry_out import read_result
    from fedprivacy.study import leaderboard

    name = " ".join(by.split())
    if not name:
        raise UsageError("--by: say who ran it; ours, for this project.")
    found = read_result(result.parent if result.is_file() else result)
    path, new = leaderboard.add(found, board, name)
    seats = ", ".join(f"{seat.seat} {'-' if seat.auc is None else f'{seat.auc:.3f}'}" for seat in new.seats)
    tell(f"{path}: suite {new.suite}, AUC: {seats or 'nothing was attacked'}.")


@command.command("page")
@BOARD
def page(board: Path) -> None:
    """Make the page of all entries again."""
    from fedprivacy.study import leaderboard

    if not leaderboard.entries(board):
        raise UsageError(f"--board: there are no entries in {board}.")
    tell(leaderboard.make_page(board))


@command.command("settings")
def settings() -> None:
    """Print the settings of the suite, for `fedprivacy run --config`."""
    from fedprivacy.config.toml import to_toml
    from fedprivacy.study.leaderboard import suite

    put(to_toml(suite().config))
