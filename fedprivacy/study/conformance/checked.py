"""One property of a part, and all of them: plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

from fedprivacy.config.base import UsageError

Outcome = Literal["kept", "broken", "noted"]


@dataclass(frozen=True)
class Checked:
    """One property: ``kept``, ``broken``, or something to know that breaks nothing (``noted``). ``words`` say why."""

    property: str
    outcome: Outcome
    words: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<6}  {self.property}{': ' if self.words else ''}{self.words}"


@dataclass(frozen=True)
class Report:
    """All properties of one part, in the order in which they were looked at."""

    kind: str
    name: str
    rows: tuple[Checked, ...]

    @property
    def kept(self) -> bool:
        """Whether nothing is broken."""
        return all(row.outcome != "broken" for row in self.rows)

    def __str__(self) -> str:
        broken = sum(row.outcome == "broken" for row in self.rows)
        verdict = "keeps what its kind promises" if self.kept else f"breaks {broken} of {len(self.rows)}"
        return "\n".join([f"{self.kind} {self.name}: {verdict}", *map(str, self.rows)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{r.outcome}</td><td>{escape(r.property)}</td><td>{escape(r.words)}</td></tr>" for r in self.rows
        )
        return f"<p>{escape(str(self).splitlines()[0])}</p><table>{rows}</table>"


Look = Callable[[], str]
"""Looks at one property and returns what to know of it; raises :class:`Broken` where it does not hold."""


class Broken(Exception):
    """A property does not hold; the message says in words what was found."""


def looked(looks: Iterator[tuple[str, Look]]) -> Iterator[Checked]:
    """Each property in turn. After the first that is broken nothing that builds on it is looked at."""
    for name, look in looks:
        try:
            words = look()
        except (Broken, UsageError) as error:
            yield Checked(name, "broken", str(error))
            return
        except Exception as error:  # a stranger's code may raise anything
            yield Checked(name, "broken", f"{type(error).__name__}: {' '.join(str(error).split())}")
            return
        yield Checked(name, "kept", words)


def hold(condition: bool, words: str) -> None:
    """Raise :class:`Broken` with ``words`` unless ``condition`` holds."""
    if not condition:
        raise Broken(words)
