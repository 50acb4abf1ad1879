"""Help that fits on a screen: a command's common options, and with ``--help-all`` all of them, in the order of a file.

The groups are those of the settings file, found from the options themselves; cloup draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import cloup

from fedprivacy.cli.settings import fields_of

COMMON = "Common options"
SECTIONS = {
    "": "Federation: the head of a settings file",
    "data": "Data [data]",
    "training": "Training [training]",
    "attack": "Attack [attack]",
    "attack.inversion": "Inversion [attack.inversion]",
    "defense": "Defense [defense]",
    "canaries": "Canaries [canaries]",
}
"""Title of every section of a settings file, by its dotted path."""
REST = "Carrying it out"
SETTINGS = {"config": "config", "protocol_set": "options", "defense_set": "defense.options"}
"""Options that give several settings, and their place in a settings file."""

Given = Mapping[str, Any]
Idle = Callable[[Given], frozenset[str]]
"""What is on the line -> the options, by destination, that do nothing there."""

_GIVEN, _ALL = "fedprivacy.given", "fedprivacy.all"


class Command(cloup.Command):
    """A command whose ``--help`` shows ``common`` options alone, by their names, and says how to see the others.

    ``idle``: which options do nothing beside what is on the line; they are left out of its help.
    """

    def __init__(
        self,
        *args: Any,
        common: Sequence[str] = (),
        idle: Idle = lambda given: frozenset(),
        params: list[click.Parameter] | None = None,
        **rest: Any,
    ) -> None:
        params = list(params or ())
        names = {name for option in _options(params) for name in option.opts}
        if missing := set(common) - names:
            raise ValueError(f"no options of this command: {', '.join(sorted(missing))}")
        if common:
            params.append(_help_all())
        groups = {title: cloup.OptionGroup(title) for title in (COMMON, *SECTIONS.values(), REST)}
        for option in _options(params):
            known = common and not set(common) & set(option.opts) and option.name != "help_all"
            option.group = groups[_section(option) if known else COMMON]  # type: ignore[attr-defined]
        super().__init__(*args, params=params, **rest)
        order = [*common, "--help-all"]
        self.option_groups = [group for group in groups.values() if group in self.option_groups]
        if common:
            shown = self.option_groups[0]
            shown.options = sorted(shown.options, key=lambda option: order.index(_named(option, order)))
        self.idle = idle

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; what is on the line is kept for the help, which is asked for before anything is read."""
        if {"-h", "--help", "--help-all"} & set(args):
            read = self.make_parser(ctx).parse_args(args=list(args))[0]
            ctx.meta[_GIVEN] = {name: value for name, value in read.items() if isinstance(value, str)}
        return super().parse_args(ctx, args)

    def make_option_group_help_section(self, group: cloup.OptionGroup, ctx: click.Context) -> cloup.HelpSection:
        """The options of ``group`` that the command as typed has a use for."""
        idle = self.idle(ctx.meta.get(_GIVEN, {}))
        records = [one.get_help_record(ctx) for one in group.options if one.name not in idle]
        return cloup.HelpSection(heading=group.title, definitions=list(filter(None, records)))

    def format_params(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Common options, and behind ``--help-all`` every group."""
        every = ctx.meta.get(_ALL, False)
        sections = [self.make_option_group_help_section(group, ctx) for group in self.option_groups]
        others = sum(len(section.definitions) for section in sections[1:])
        chosen = [section for section in sections if section.definitions]
        assert isinstance(formatter, cloup.HelpFormatter)
        formatter.write_many_sections(chosen if every else chosen[:1], aligned=self.must_align_option_groups(ctx))
        if others and not every:
            formatter.write_paragraph()
            formatter.write_text(f"{others} more options, grouped like a settings file: {ctx.command_path} --help-all")


def _options(params: Sequence[click.Parameter]) -> list[click.Option]:
    return [param for param in params if isinstance(param, click.Option)]


def _named(option: click.Option, names: Sequence[str]) -> str:
    return next(name for name in names if name in option.opts)


def settings_but(paths: frozenset[str]) -> frozenset[str]:
    """Destinations of all settings but those at ``paths``."""
    return frozenset(path.replace(".", "__") for path in fields_of() if path not in paths)


def _section(option: click.Option) -> str:
    """Title of the group that ``option`` stands in: its section of a settings file, or what no file says."""
    name = (option.name or "").replace("__", ".")
    path = SETTINGS.get(name, name if name in fields_of() else None)
    return REST if path is None else SECTIONS[path.rpartition(".")[0]]


def _help_all() -> click.Option:
    def show(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            ctx.meta[_ALL] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    words = "Every option, grouped like a settings file."
    return click.Option(["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=show, help=words)
