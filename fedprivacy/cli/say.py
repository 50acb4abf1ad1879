"""Lines that leave for a terminal outside the report: one line each, cleaned of what could rewrite the screen."""

from __future__ import annotations

import click

from fedprivacy.reporting.text import clean, printable


def say(words: object) -> None:
    """One line on standard error."""
    click.echo(clean(words), err=True)


def tell(words: object) -> None:
    """One line on standard output."""
    click.echo(clean(words))


def put(page: str) -> None:
    """A page of several lines on standard output, as it is but for control characters."""
    click.echo(printable(page), nl=False)
