"""What an attack is given and gives: the adversary's knowledge, what it observed, observations and statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import numpy as np

from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Bool, Float, Signals, View
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import AttackConfig
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import Defense, FederatedProtocol
from fedprivacy.training.learner import Workbench


@dataclass(frozen=True, eq=False)
class Observed:
    """What one adversary learned in one federation, about all candidates and from every source it can tell apart.

    ``logp`` [sources, rounds, n, classes], NaN where nothing was observed: source k is client k where releases come
    by client, or the single aggregate. ``seen``, ``clean`` [rounds, n] as in `Signals`;
    ``population_logp`` [sources, rounds, M, classes] on the adversary's own records. ``floor`` counts clamped
    values; ``notes`` say what the finding must carry. ``reference_logp`` [references, rounds, n, classes] and
    ``reference_population_logp``: further models that trained on no other client's candidate, such as a peer's own.
    ``surrogate_logp`` [sources, S, n, classes]: surrogates of each source, where a statistic asks for them.
    ``scores`` [sources, rounds, n]: log-odds of membership decoded for all candidates together (higher says member),
    weighted by round so that their sum over rounds is the score; NaN where not seen. Where they are all that an
    observation gives, ``logp`` has no classes (:meth:`decoded`). ``simulated_logp`` [sources, S, rounds, n, classes]
    and ``simulated_population_logp``: answers of simulated clients in the place of each source, which were trained on
    the candidates of ``simulated_in`` [sources, S, n]; NaN where they were not asked. ``measured``: figures of what the
    adversary did, by name, such as how a model that it forged does.
    """

    logp: Float
    seen: Bool
    clean: Bool
    population_logp: Float | None = None
    floor: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reference_logp: Float | None = None
    reference_population_logp: Float | None = None
    surrogate_logp: Float | None = None
    scores: Float | None = None
    simulated_logp: Float | None = None
    simulated_population_logp: Float | None = None
    simulated_in: Bool | None = None
    measured: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def decoded(
        cls, scores: Float, notes: tuple[str, ...] = (), measured: Mapping[str, float] | None = None
    ) -> Observed:
        """An observation of nothing but jointly decoded ``scores`` [sources, rounds, n]."""
        seen = np.asarray((~np.isnan(scores)).any(axis=0))
        clean = np.ones(seen.shape, dtype=bool)
        return cls(np.empty((*scores.shape, 0)), seen, clean, notes=notes, scores=scores, measured=dict(measured or {}))

    def restricted(self, known: Bool) -> Observed:
        """The same with every candidate outside ``known`` [n] unseen."""
        hidden = ~known

        def without(values: Float | None, axis: int) -> Float | None:
            if values is None:
                return None
            masked = values.copy()
            masked[(slice(None),) * axis + (hidden,)] = np.nan
            return masked

        logp = without(self.logp, 2)
        assert logp is not None
        return replace(
            self,
            logp=logp,
            seen=self.seen & known,
            reference_logp=without(self.reference_logp, 2),
            surrogate_logp=without(self.surrogate_logp, 2),
            scores=without(self.scores, 2),
        )


@dataclass(frozen=True, eq=False)
class Rules:
    """How the federation works, which everybody who takes part is told. No coin and no secret seed is in here.

    ``division``: who owns which candidates. ``defense``: builds the defense for an environment, and its noise from
    that environment's seeds. ``initial``: the state that all were given before round 1; None where each has its own.
    """

    protocol: FederatedProtocol
    division: Division
    defense: Callable[[Environment], Defense | None]
    initial: FederationState | None = None


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What the adversary brings: candidate records and labels, its own records, the architecture, public records.

    No coin and no client's model is in here. ``root`` seeds the adversary's own training. ``start``: the weights that
    everybody began from, for an observation that works with changes since then; whoever takes part was given them.
    ``known`` [n]: which candidates it can ask about; None for all. ``rules``: for an observation that plays clients.
    ``starts``: by architecture, the weights that its clients were given; None where each drew its own.
    ``wire``: what crosses the wire, as declared.
    """

    attack: AttackConfig
    root: int
    dataset: Dataset
    candidates: Ids
    auxiliary: Ids
    workbench: Workbench
    start: Part | None = None
    known: Bool | None = None
    rules: Rules | None = None
    starts: Mapping[str, Part] | None = None
    wire: Wire = field(kw_only=True)

    @property
    def settings(self) -> FederationSettings:
        """What everybody in the federation knows of it."""
        return self.wire.federation


class Observation(Protocol):
    """View and candidates in, signals out."""

    name: ClassVar[str]

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """What the view tells of the candidates; all NaN where it tells nothing."""


class Statistic(Protocol):
    """Signals of one round in, one score a candidate out; higher says member."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]

    def score(self, signals: Signals) -> Float: ...
