"""What an adversary knows and receives, and what only the examiner knows.

Signals are numpy float64: statistics never touch a model. Truth is a separate type, so that handing it to an
attack is a visible act and not an accident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fedprivacy.adversary.position import EAVESDROPPER as EAVESDROPPER
from fedprivacy.adversary.position import Adversary as Adversary

if TYPE_CHECKING:
    from fedprivacy.wire.transcript import Transcript

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """What one adversary received: the messages it sent or got, and the public folds. Nothing else.

    Several transcripts are alternative last rounds of the same run (an active server's planted folds).
    """

    position: str
    transcripts: tuple[Transcript, ...]

    def until(self, round: int | None) -> View:
        """The same without what came after ``round`` (1-based); all of it for None."""
        if round is None:
            return self
        early = [t.restricted(lambda message: message.round <= round) for t in self.transcripts]
        cut = [replace(t, folds=tuple(fold for fold in t.folds if fold.round <= round)) for t in early]
        return View(self.position, tuple(cut))


def view_of(transcripts: Sequence[Transcript], adversary: Adversary) -> View:
    """The part of ``transcripts`` that ``adversary`` receives; an eavesdropper reads an unencrypted channel."""
    if adversary.position == EAVESDROPPER:
        return View(adversary.position, tuple(transcripts))
    own = tuple(t.restricted(lambda message: message.visible_to(adversary.position)) for t in transcripts)
    return View(adversary.position, own)


Reading = Callable[[Float], Float]
"""From what S references said, [S, rounds, n, ...], to a part of it or another order."""
Values = TypeVar("Values", Float, Float | None)


class Late(Generic[Values]):
    """A field of a dataclass: its value, or what makes an array, which is done when it is first read."""

    def __init__(self, *default: Values) -> None:
        self.default: tuple[Values, ...] = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, it: object | None, owner: type) -> Values:
        if it is None:
            if self.default:
                return self.default[0]
            raise AttributeError(f"{self.name} has no default")
        if callable(value := it.__dict__[self.name]):
            value = it.__dict__[self.name] = value()
        return cast("Values", value)

    def __set__(self, it: object, value: Values | Callable[[], Float]) -> None:
        it.__dict__[self.name] = value


@dataclass(frozen=True, eq=False)
class References:
    """Log-probabilities of models whose use of each candidate is known to the adversary.

    ``logp`` [S, rounds, n, classes]; ``included`` [S, n], True where reference s was trained on candidate i. Shadow
    federations have coins drawn by the adversary; other clients of the same federation are never trained on i.
    ``population_logp`` [S, rounds, M, classes], the same references on the auxiliary non-members, or None. Both may be
    given as what makes them, since nobody reads them where their margins are known.
    ``margins`` [S, rounds, n] and ``population_margins`` [S, rounds, M]: the scaled logits of the true class in both,
    where they are known already; None, and they follow from the log-probabilities. ``tempered``: the same as
    ``margins`` at other softmax temperatures, where known.
    """

    logp: Late[Float] = Late()
    included: Bool  # type: ignore[misc]  # a field that is made late is no default
    population_logp: Late[Float | None] = Late(None)
    margins: Float | None = None
    population_margins: Float | None = None
    tempered: Mapping[float, Float] = field(default_factory=dict)

    @property
    def with_population(self) -> bool:
        """Whether they were asked of the auxiliary non-members."""
        return self.__dict__["population_logp"] is not None

    def read(self, own: Reading, others: Reading, included: Bool) -> References:
        """``own`` of all that was said of the candidates, ``others`` of all that was said of the non-members."""
        margins, population = self.margins, self.population_margins
        return References(
            lambda: own(self.logp),
            included,
            (lambda: others(cast("Float", self.population_logp))) if self.with_population else None,
            None if margins is None else own(margins),
            None if population is None else others(population),
            {temperature: own(values) for temperature, values in self.tempered.items()},
        )


@dataclass(frozen=True, eq=False)
class Signals:
    """What one adversary learned about the candidates of one target client; no coin is in here.

    ``logp`` [rounds, n, classes] log-probabilities of the target; ``seen`` [rounds, n], False where nothing was
    observed (logp is NaN there); ``clean`` [rounds, n], False once the record was in a public fold trained on
    earlier; ``labels`` [n]; ``population_logp`` [rounds, M, classes] and ``population_labels`` [M]: the target on
    auxiliary records that nobody trained on; ``floor``: how many values the wire's number format clamped.
    ``scores`` [rounds, n]: log-odds of membership that were decoded for all candidates together, weighted by round, NaN
    where not seen. Where they are all there is, ``logp`` has no classes.
    """

    logp: Float
    seen: Bool
    clean: Bool
    labels: Int
    references: References | None = None
    population_logp: Float | None = None
    population_labels: Int | None = None
    floor: Mapping[str, int] = field(default_factory=dict)
    scores: Float | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Records whose membership is in question: ``x`` [n, ...] as stored, ``labels`` [n], ``owner`` [n] client ids."""

    x: NDArray[np.generic]
    labels: Int
    owner: Int


@dataclass(frozen=True, eq=False)
class Truth:
    """The coins, [n] bool, True where the owner trained on the candidate. Held by the examiner alone.

    ``records`` [n] says which record of the data each candidate is, so that the examiner counts none twice over
    several seeds; None where nobody knows.
    """

    coins: Bool
    records: Int | None = None
