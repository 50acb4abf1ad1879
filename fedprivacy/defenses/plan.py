"""What a run will send, as the defenses plan for it, and how they refuse what they cannot act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NoReturn

from fedprivacy.config.base import UsageError
from fedprivacy.config.defenses import Budget
from fedprivacy.defenses.acts_on import Problem, Rule, refusal
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import Gaussian, Mechanism, NoNoise, PrivacyEvent, Relation, Unit
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.wire.release import Release


def refuse(defense: str, why: str) -> NoReturn:
    """Raise the UsageError of a defense."""
    raise UsageError(f"defense {defense}: {why}.")


def check_every(defense: str, env: Environment, releases: Sequence[Release], problem: Problem) -> None:
    """Raise UsageError unless all that clients send can be acted on: what is left out would void the claim."""
    _unless(refusal(Rule(problem, "every"), env.settings.protocol, releases), defense)


def check_some(defense: str, env: Environment, releases: Sequence[Release], problem: Problem) -> None:
    """Raise UsageError unless something that clients send can be acted on."""
    _unless(refusal(Rule(problem, "some"), env.settings.protocol, releases), defense)


def _unless(why: str | None, defense: str) -> None:
    if why is not None:
        refuse(defense, why)


def sends(env: Environment, releases: Sequence[Release]) -> Iterator[tuple[int, int, Release]]:
    """(client, round, release) of every message with content of its own that participants may send in a run."""
    for work in env.work:
        for release in releases if work.sends else ():
            planned = release.by_job and env.planned is not None  # then each job is listed by itself
            for _ in range(1 if planned else release.times):
                yield work.client, work.round, release


def most_sends(env: Environment, releases: Sequence[Release]) -> int:
    """Messages of the client that sends most, at least one."""
    return max(Counter(client for client, _, _ in sends(env, releases)).values(), default=1)


def events(
    env: Environment,
    releases: Sequence[Release],
    mechanism: Mechanism,
    unit: Unit = "record",
    relation: Relation = "add-remove",
    against: Literal["transcript", "receivers"] = "transcript",
) -> list[PrivacyEvent]:
    """One event a message, all with the same mechanism."""
    return [
        PrivacyEvent(client, round, release.name, mechanism, unit, relation, None, against)
        for client, round, release in sends(env, releases)
    ]


def gaussian(multiplier: float) -> Mechanism:
    """Gaussian noise of a multiplier; none at all at 0, the control of every audit."""
    return Gaussian(multiplier) if multiplier > 0 else NoNoise()


def relation_of(unit: Unit) -> Relation:
    """A client's whole matrix moves by at most 2 bounds when its records change; an absent client is not a matrix."""
    return "replace-one" if unit == "client" else "add-remove"


def public_rows(env: Environment) -> int:
    """Rows of the largest matrix that a client predicts."""
    return max(map(len, env.division.public))


def columns(env: Environment) -> int:
    """Outputs of a model: one for a sigmoid, else one a class."""
    return 1 if env.settings.training.output == "sigmoid" else len(env.dataset.classes)


def multiplier_for(budget: Budget, sends: int) -> float:
    """The noise multiplier of ``sends`` equal releases."""
    if budget.sigma is not None:
        return budget.sigma
    if budget.epsilon is None:
        raise ValueError("a budget needs epsilon or sigma")
    return gaussian_multiplier(budget.epsilon, budget.delta, sends)
