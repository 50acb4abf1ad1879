"""How hard the attacks looked, what looking harder would cost, and what it could add: from what this run counted."""

from __future__ import annotations

from collections.abc import Iterator

from fedprivacy.adversary.effort import FORETOLD, THOROUGH
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.settings import setting
from fedprivacy.reporting.text import clean, fixed, listed

UNKNOWN = "What that adds is not known before it is run"


def effort(result: RunResult) -> Iterator[str]:
    """Sentences on a default effort; none on a thorough one, or where no attack of the run has grades."""
    if setting(result.config, "attack.effort") != "default":
        return
    told = _by_adversary(result, THOROUGH)
    if not told:
        return
    times = {clean(who): f"{one.value:.2g}" for who, one in told.items()}
    by = listed(f"{cost} ({who})" for who, cost in times.items())
    if len(set(times.values())) == 1:
        by = next(iter(times.values()))
    yield f"The attacks made a default effort; --effort thorough multiplies the work of decoding by about {by}."
    room = {who: 1.0 - one.value for who in told if (one := _headline(result, who)) is not None and one.value}
    most = f", at most {fixed(max(room.values()), 3)} of AUC" if room else ""
    foretold = [f"{fixed(one.value or 0.0, 3)}" for who, one in _by_adversary(result, FORETOLD).items() if who in told]
    of_this = f"; the simulations foretell {listed(dict.fromkeys(foretold))} of this effort" if foretold else ""
    yield f"{UNKNOWN}{most}{of_this}."


def _by_adversary(result: RunResult, metric: str) -> dict[str, Finding]:
    """The figure of each adversary, of its headline's observation where that has one."""
    found: dict[str, Finding] = {}
    for one in (f for f in result.findings if f.metric == metric and f.value is not None):
        head = _headline(result, one.adversary)
        if one.adversary not in found or (head is not None and head.observation == one.observation):
            found[one.adversary] = one
    return found


def _headline(result: RunResult, adversary: str) -> Finding | None:
    own = (f for f in result.findings if f.adversary == adversary and f.headline and f.metric == "AUC")
    return next((f for f in own if not is_client(f.target)), None)
