"""All that one adversary has, stacked: learned on shadow federations whose coins it drew, judged on the target.

Where every federation of the bank is a target, the combination that judges a group of them is learned on the others,
whose own references come from the others too: no coin of a judged federation is a label or a reference of what judges
it. Groups, and not single federations, so that the cost is that of a few passes over the bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import Adversary, Bool, Float, Int, Signals, Truth
from fedprivacy.attacks.membership.assemble import Shadow, signals_of
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.attacks.membership.stack import Columns, columns, learned
from fedprivacy.federation.knowledge import Observed
from fedprivacy.judge import examiner
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.membership.findings import judges_bank, sources
from fedprivacy.study.membership.kept import Kept
from fedprivacy.study.observe import load_observed, observed_path, stacks
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.seed_notes import of_seeds, why_failed
from fedprivacy.wire.parties import client_name

GROUPS = 4
"""Groups of federations of which each is judged by what was learned on the others."""

EVERYTHING = "all that it received"


@dataclass(frozen=True, eq=False)
class Bank:
    """All observations of one adversary in the target federation and its shadows, and the coins of each."""

    study: Study
    adversary: Adversary
    repetition: Repetition
    observed: Mapping[str, Sequence[Observed]]
    coins: Sequence[Bool]
    seed: int = 0
    kept: Kept = field(default_factory=Kept)
    """Columns that the findings of this seed left."""

    def targets(self) -> Iterator[tuple[str, Int]]:
        """Clients that are attacked, each with its candidates; all together where no source tells one client."""
        played = self.repetition.game
        attacked = followed(self.adversary, self.study.wire, self.study.attack.followed)
        firsts = [one[0] for one in self.observed.values()]
        told = max(firsts, key=lambda one: len(one.logp))
        for name, _, theirs in sources(told, played.owners, self.adversary):
            chosen = theirs[played.flat_canaries[theirs] & np.isin(played.owners[theirs], attacked)]
            if len(chosen):
                yield name, chosen

    def signals(self, title: str, federation: int, references: Sequence[int], name: str, chosen: Int) -> Signals:
        """What one observation tells of the candidates ``chosen`` of one client of a federation."""
        played, federations = self.repetition.game, self.observed[title]
        labels = played.dataset.y_train[played.candidates]
        auxiliary = played.dataset.y_train[played.division.auxiliary]
        own = federations[federation]
        others = [Shadow(federations[number], self.coins[number]) for number in references]
        single = len(own.logp) == 1 or not name.startswith("client-")
        source = 0 if single else next(k for k in range(len(own.logp)) if client_name(k) == name)
        alone = not own.logp.shape[-1]
        return signals_of(own, [] if alone else others, source, chosen, labels, auxiliary, self.study.attack.coop)

    def columns(self, federation: int, references: Sequence[int], name: str, chosen: Int) -> Columns:
        """Every signal about the candidates ``chosen`` of one client of a federation, by any observation."""
        found: dict[str, Float] = {}
        whole = len(references) == len(self.coins) - 1
        for title in self.observed:
            theirs = self.kept.get((self.seed, title, federation, name)) if whole else None
            if theirs is None:
                signals = self.signals(title, federation, references, name, chosen)
                theirs = columns(signals, self.study.attack.combine)
            found |= {f"{title}: {signal}": values for signal, values in theirs.items()}
        return found


def is_stacked(study: Study, adversary: Adversary) -> bool:
    """Whether what one adversary observes is stacked."""
    observations = study.seats.observed_by(adversary)
    return stacks(study.attack, any(getattr(study.observation(name), "alone", False) for name in observations))


def stacked(study: Study, repetitions: Sequence[Repetition], adversary: Adversary, kept: Kept) -> list[Finding]:
    """Findings of the stack on all observations of one adversary, of which the findings left ``kept``."""
    attack, observations = study.attack, study.seats.observed_by(adversary)
    label = Label(EVERYTHING, str(adversary), STACK, attack.level, attack.headline == STACK)
    judged: list[list[Target]] = []
    groups: list[int] = []
    told: list[tuple[str]] = []
    causes = [""] * len(repetitions)
    for number, repetition in enumerate(repetitions):
        bank = bank_of(study, repetition, adversary, observations)
        if bank is None:
            causes[number] = "no observation of this adversary gave anything in every federation"
            continue
        try:
            found, signals = _judged(replace(bank, seed=number, kept=kept))
        except ValueError as error:
            causes[number] = str(error)
            continue
        judged += found
        groups += [number] * len(found)
        told.append(
            (
                f"logistic regression on {signals} signals of {len(observations)} observations, learned on the coins "
                "of shadow federations, never on the target's",
            )
        )
    if any(causes):
        return [examiner.failed(label, why_failed(causes))]
    return examiner.membership(judged, replace(label, note="; ".join(of_seeds(told))), groups)


def _judged(bank: Bank) -> tuple[list[list[Target]], int]:
    """The targets of each judged federation with their stacked scores, and how many signals were combined."""
    federations = range(len(bank.coins))
    targets = list(bank.targets())
    if not judges_bank(bank.study.attack):
        parts = [[0]]
    else:
        parts = [list(federations[first::GROUPS]) for first in range(min(GROUPS, len(federations)))]
    found: dict[int, list[Target]] = {}
    signals = 0
    for part in parts:
        known = [number for number in federations if number not in part]
        own = {
            number: [bank.columns(number, [k for k in federations if k != number], *one) for one in targets]
            for number in part
        }
        offered = [name for name in own[part[0]][0] if all(name in one for theirs in own.values() for one in theirs)]
        lessons = [
            (bank.columns(number, [k for k in known if k != number], *one), bank.coins[number][one[1]])
            for number in known
            for one in targets
        ]
        stack = learned(lessons, offered)
        signals = len(stack.signals)
        for number, theirs in own.items():
            found[number] = [
                Target(
                    name,
                    stack.score(columns),
                    Truth(bank.coins[number][chosen], bank.repetition.game.candidates[chosen]),
                    odds=True,
                )
                for (name, chosen), columns in zip(targets, theirs, strict=True)
            ]
    return [found[number] for number in sorted(found)], signals


def bank_of(study: Study, repetition: Repetition, adversary: Adversary, observations: Sequence[str]) -> Bank | None:
    """What every federation of a seed holds of this adversary; None where no observation is whole."""
    places = (repetition.place, *repetition.shadows)
    whole: dict[str, list[Observed]] = {}
    for name in observations:
        found = [load_observed(path) for path in (observed_path(place, adversary, name) for place in places)]
        read = [one for one in found if not isinstance(one, str)]
        if len(read) == len(places):
            whole[study.observation(name).name] = read
    if not whole:
        return None
    played = repetition.game
    drawn = [study.coins(played.division, repetition.root, shadow) for shadow in range(len(repetition.shadows))]
    coins = [played.flat_coins, *(np.concatenate(one) for one in drawn)]
    return Bank(study, adversary, repetition, whole, coins)
