"""Every field of the configuration as a flag, made from the field itself: name, help and default stand once."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from fedprivacy.cli.completion import of_setting
from fedprivacy.cli.settings import fields_of, flag_of, kinds_of, shown

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def configured(
    skip: frozenset[str] = frozenset(), defaults: Mapping[str, str] | None = None
) -> Callable[[CommandT], CommandT]:
    """Decorator: add --config, --set and a flag for every field but those in ``skip``; see :func:`configuration`.

    ``options`` and ``defense.options`` in ``skip`` leave --set and --defense-set out of the help alone: they
    are refused with a reason. ``defaults``: what the help says of a setting that the command chooses by itself.
    """

    def add(command: CommandT) -> CommandT:
        for path, field in reversed(fields_of().items()):
            if path not in skip:
                command = _option(path, field, (defaults or {}).get(path))(command)
        command = click.option(
            "--defense-set",
            multiple=True,
            metavar="NAME=VALUE",
            hidden="defense.options" in skip,
            help="A setting of the defense itself; repeatable.",
        )(command)
        command = click.option(
            "--set",
            "protocol_set",
            multiple=True,
            metavar="NAME=VALUE",
            hidden="options" in skip,
            help="A setting of the protocol itself, such as kl=literal; repeatable. See `list protocols`.",
        )(command)
        words = "Settings from a file; flags win."
        return click.option("--config", type=click.Path(), metavar="FILE.toml", help=words)(command)

    return add


def _option(path: str, field: FieldInfo, chosen: str | None = None) -> Callable[[CommandT], CommandT]:
    flag, destination = flag_of(path), path.replace(".", "__")
    text = " ".join((field.description or "").split())
    default = chosen or shown(field.get_default())
    text = f"{text} [default: {default}]" if default else text
    values = of_setting(path, field)
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", destination, default=None, help=text)
    if any(typing.get_origin(kind) is tuple for kind in kinds_of(field.annotation)):
        return click.option(
            flag, destination, metavar="A,B,...", help=text, multiple=True, callback=_together, shell_complete=values
        )
    return click.option(flag, destination, metavar=_metavar(field.annotation), help=text, shell_complete=values)


def _together(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> str | None:
    """A flag given several times as one list of names."""
    return ",".join(texts) if texts else None


def _metavar(annotation: Any) -> str:
    found = kinds_of(annotation)
    choices = [str(c) for kind in found if typing.get_origin(kind) is typing.Literal for c in typing.get_args(kind)]
    if choices:
        return "|".join(choices)
    if float in found:
        return "NUMBER"
    return "N" if int in found else "TEXT"
