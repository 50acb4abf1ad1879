"""Help fits on a screen, is grouped like a settings file, and shows what the command as typed has a use for."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from fedprivacy.cli.help import COMMON, REST, SECTIONS
from fedprivacy.cli.main import cli
from fedprivacy.cli.settings import fields_of, flag_of

SETTING_VERBS = ("run", "compare", "sweep", "attack", "audit")


def printed(*words: str, width: int = 80) -> str:
    result = CliRunner().invoke(cli, list(words), prog_name="fedprivacy", terminal_width=width)
    assert result.exit_code == 0, result.output
    return result.output


def flags_in(text: str) -> list[str]:
    """Flags that open a line of the help, in order."""
    return re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE)


def command(verb: str) -> click.Command:
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    return found


@pytest.mark.parametrize("verb", SETTING_VERBS)
def test_help_shows_twelve_options_and_where_the_others_are(verb: str) -> None:
    text = printed(verb, "--help")
    *common, last = flags_in(text)
    assert (len(common), last) == (12, "--help-all")
    every = [option for option in command(verb).params if isinstance(option, click.Option) and not option.hidden]
    assert f"{len(every) - 13} more options" in text and f"fedprivacy {verb} --help-all" in text
    assert [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")] == [f"{COMMON}:"]


def test_help_of_run_fits_on_a_screen() -> None:
    assert len(printed("run", "--help").splitlines()) <= 40


@pytest.mark.parametrize("verb", SETTING_VERBS)
def test_all_of_the_help_is_grouped_like_a_settings_file(verb: str) -> None:
    text = printed(verb, "--help-all", width=120)
    heads = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert heads == [title for title in (COMMON, *SECTIONS.values(), REST) if title in heads]
    every = [option for option in command(verb).params if isinstance(option, click.Option) and not option.hidden]
    assert sorted(flags_in(text)) == sorted(option.opts[0] for option in every)


def test_every_setting_stands_under_its_own_section() -> None:
    text = printed("run", "--help-all", width=200)
    parts = re.split(r"^(\S.*):$", text, flags=re.MULTILINE)
    shown = {title: set(flags_in(body)) for title, body in zip(parts[1::2], parts[2::2], strict=True)}
    for path in fields_of():
        own = SECTIONS[path.rpartition(".")[0]]
        assert flag_of(path) in shown[own] | shown[COMMON], path
    assert "--workers" in shown[REST] and "--defense-set" in shown[SECTIONS["defense"]]


@pytest.mark.parametrize(
    ("line", "used", "idle"),
    [
        ("attack --scores f.npz", {"--statistic", "--headline", "--level"}, {"--bins", "--adversary", "--device"}),
        ("audit --scores f.npz", {"--epsilon", "--delta", "--guesses"}, {"--rounds", "--set", "--no-control"}),
        ("audit RUN", {"--statistic", "--guesses"}, {"--epsilon", "--rounds", "--workers"}),
        ("audit", {"--epsilon", "--rounds", "--workers"}, set()),
        ("attack", {"--bins", "--adversary"}, {"--rounds", "--set", "--defense-set"}),
        ("compare", {"--rounds"}, {"--protocol", "--set"}),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_does_nothing_is_left_out(line: str, used: set[str], idle: set[str], first: bool) -> None:
    verb, *words = line.split()
    shown = set(flags_in(printed(verb, *(["--help-all", *words] if first else [*words, "--help-all"]))))
    assert used <= shown and not idle & shown
