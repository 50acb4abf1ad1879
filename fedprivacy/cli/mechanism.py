"""``fedprivacy audit --mechanism``: the door for a function of one's own that adds noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fedprivacy.config.base import UsageError

if TYPE_CHECKING:
    from fedprivacy.cli.written import Destination

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
NORMS = ("l1", "l2", "linf")
WITH = frozenset({"attack.level", "defense.epsilon", "defense.delta", "seed"})
"""Settings of a run that mean something for a mechanism."""
FLAGS = ("neighbours", "sensitivity", "shape", "norm", "relation", "calls", "stop_early")


def mechanism_flags(command: CommandT) -> CommandT:
    """Decorator: add the flags of :func:`audited`."""
    for name, options in reversed(OPTIONS.items()):
        command = click.option(name, default=None, **options)(command)
    return command


OPTIONS: dict[str, dict[str, Any]] = {
    "--mechanism": {
        "metavar": "FILE.py:F",
        "help": "Audit a function of your own, arrays to noised arrays, against --epsilon and --delta.",
    },
    "--neighbours": {
        "metavar": "A,B",
        "help": "Names of two neighbouring inputs beside it (arrays, or functions without arguments).",
    },
    "--sensitivity": {
        "metavar": "NUMBER",
        "help": "Instead: how far apart neighbouring inputs are; the worst pair is looked for.",
    },
    "--shape": {"metavar": "N,M,...", "help": "Shape of an input, with --sensitivity [default: 1]."},
    "--norm": {"type": click.Choice(NORMS), "help": "Of the sensitivity [default: l2]."},
    "--relation": {"metavar": "WORDS", "help": "What makes inputs neighbours, as printed [default: neighbouring]."},
    "--calls": {"metavar": "N", "help": "How often the mechanism is called [default: 20000]."},
    "--stop-early": {
        "is_flag": True,
        "help": "Look at calls as they come, and stop when the claim falls; --calls is the most.",
    },
}


def audited(name: str, given: dict[str, Any], flags: dict[str, Any], to: Destination) -> int:
    """Exit code 1 where the claim on mechanism ``name`` is refuted; prints what was found. Raises UsageError."""
    from fedprivacy.cli.settings import configuration, parsed

    epsilon = given.get("defense__epsilon")
    if epsilon is None:
        raise UsageError("--mechanism: say what is claimed, with --epsilon and, unless it is 1e-5, --delta.")
    claim = float(parsed(epsilon, float, "--epsilon"))
    delta = float(parsed(given.get("defense__delta") or "1e-5", float, "--delta"))
    config = configuration({**given, "defense__epsilon": None, "defense__delta": None})
    calls = int(parsed(flags["calls"] or "20000", int, "--calls"))
    from fedprivacy import parts
    from fedprivacy.study.mechanism.audit import Stated, audit_mechanism
    from fedprivacy.study.mechanism.early import audit_until_refuted

    stated = Stated(name.rpartition(":")[2], claim, delta, flags["relation"] or "neighbouring")
    function = parts.load("mechanism", name)
    if not callable(function):
        raise UsageError(f"--mechanism {name}: a function of an input is wanted, not {type(function).__name__}.")
    found = (audit_until_refuted if flags["stop_early"] else audit_mechanism)(
        function,
        stated,
        _pairs(name, flags),
        calls=calls,
        level=config.attack.level,
        root=config.seed,
    )
    from fedprivacy.cli.output import Output
    from fedprivacy.reporting.mechanism import findings_of, mechanism_report
    from fedprivacy.reporting.terminal import render_document

    to.deliver(lambda: findings_of(found), lambda: render_document(mechanism_report(found), Output()))
    return int(found.refuted)


def _pairs(name: str, flags: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The neighbouring inputs, named or looked for."""
    named, sensitivity = flags["neighbours"], flags["sensitivity"]
    if (named is None) == (sensitivity is None):
        raise UsageError("--mechanism: name two inputs with --neighbours A,B, or state --sensitivity; one of the two.")
    if named is not None:
        for flag in ("shape", "norm"):
            if flags[flag] is not None:
                raise UsageError(f"--{flag} does nothing with --neighbours: the inputs have theirs.")
        return {f"{named.replace(',', ' and ')}": _named(name, named)}
    from fedprivacy.cli.settings import parsed
    from fedprivacy.study.mechanism.pairs import NORMS as norms
    from fedprivacy.study.mechanism.pairs import worst_pairs

    far = float(parsed(sensitivity or "", float, "--sensitivity"))
    sizes = tuple(int(parsed(size, int, "--shape")) for size in (flags["shape"] or "1").split(","))
    norm = next(one for one in norms if one == (flags["norm"] or "l2"))
    return dict(worst_pairs(far, sizes, norm))


def _named(name: str, named: str) -> tuple[Any, Any]:
    from fedprivacy import parts

    place, words = name.rpartition(":")[0], [word.strip() for word in named.split(",")]
    if len(words) != 2 or not all(words):
        raise UsageError(f"--neighbours: two names separated by a comma, such as without,with; not '{named}'.")
    first, second = (parts.load("mechanism", f"{place}:{word}") for word in words)
    return first() if callable(first) else first, second() if callable(second) else second
