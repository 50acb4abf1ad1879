"""One client's run with real coins, by the learner that clients train with: what it would have answered.

With the true coins and the true seeds this is the client itself, bit for bit; an adversary draws both. Its answers are
references of which it knows what they were trained on, and the differences between two orders of the same records are
the noise that no decoder can remove.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.attacks.membership.unrolled.played import NoDigest, Played, digest, shelf_of
from fedprivacy.attacks.membership.unrolled.private_training import PrivateTraining
from fedprivacy.federation.course import Answer, Event, Fit, Private, Restart, TakeOver
from fedprivacy.training.learner import Learner, Records, Seed, Workbench
from fedprivacy.training.stopping import Stopping

Naming = Callable[[Private | Fit], Seed]
"""Event -> the named seed of its order of batches."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What stays the same from replay to replay: the model, where it starts, what happens to it, how it trains on its
    own records where a defense says so (``private``), and the records of each fold by which it stops, if it does so
    early (``held_out``)."""

    bench: Workbench
    architecture: str
    start: Mapping[str, Tensor]
    events: Sequence[Event]
    private: PrivateTraining | None = None
    held_out: Sequence[Records] = ()

    def answers(
        self, private: Sequence[Records], asked: Mapping[int, NDArray[Any]], naming: Naming
    ) -> dict[int, Tensor]:
        """Logits [N, C] by round on the records ``asked``; ``private``: the members by fold, the last one repeated."""
        try:
            key = digest(self._content, private, [naming(e) for e in self.events if isinstance(e, Private | Fit)])
        except NoDigest:
            return self._played(private, asked, naming)[0]
        shelf = shelf_of(self.bench.build)
        before = shelf.get(key)
        known = None if before is None else before.known(asked)
        if before is None or known is None:
            found, weights = self._played(private, asked, naming)
            if found:
                questions = {round: digest(x) for round, x in asked.items()}
                shelf.put(key, Played(dict(found), questions, max(found), weights))
            return found
        found, new = known
        if new:
            found[before.last] = self.bench.logits(self.architecture, before.weights, asked[before.last])
        return found

    def passes(self, private: Sequence[Records], naming: Naming) -> dict[int, int]:
        """How many passes over its own records the client keeps, by round, where it stops early."""
        found: dict[int, int] = {}
        self._played(private, {}, naming, found)
        return found

    @cached_property
    def _content(self) -> bytes:
        """Everything that a replay depends on but for the members and the draws. Raises :class:`NoDigest`."""
        return digest(
            self.bench.config.model_dump_json(), self.architecture, self.start, self.events, self.private, self.held_out
        )

    def _played(
        self,
        private: Sequence[Records],
        asked: Mapping[int, NDArray[Any]],
        naming: Naming,
        passes: dict[int, int] | None = None,
    ) -> tuple[dict[int, Tensor], Mapping[str, Tensor]]:
        """Answers by round, and the weights that gave the last ones; ``passes`` takes those of each round."""
        weights, moments = dict(self.start), dict[str, Tensor]()
        persistent = self.bench.config.optimizer_state == "persistent"
        found: dict[int, Tensor] = {}
        last: Mapping[str, Tensor] = self.start
        for event in self.events:
            if isinstance(event, Answer):
                if event.round in asked:
                    found[event.round] = self.bench.logits(self.architecture, weights, asked[event.round])
                    last = dict(weights)
            elif isinstance(event, TakeOver):
                weights |= event.tensors
                moments = {} if event.forget else moments
            elif isinstance(event, Private | Fit):
                own = isinstance(event, Private) or event.own_moments
                learner = self.bench.learner(self.architecture, weights, moments if own and persistent else None)
                kept = self._fit(learner, event, private, naming(event))
                if passes is not None and isinstance(event, Private):
                    passes[event.round] = kept
                weights = learner.weights()
                moments = learner.moments() if own else moments
            elif isinstance(event, Restart):
                weights, moments = dict(self.start), {}
        return found, last

    def _fit(self, learner: Learner, event: Private | Fit, private: Sequence[Records], seed: Seed) -> int:
        """Fit ``learner``, and return how many passes are kept."""
        config = self.bench.config
        if isinstance(event, Fit):
            size, shuffle = event.batch_size, event.shuffle
            done = learner.fit(
                event.records, event.epochs, seed, event.loss, shuffle=shuffle, even=event.even, batch_size=size
            )
            return len(done)
        fold = min(event.round, len(private)) - 1
        members = private[fold]
        if self.private is not None:
            self.private.fitted(learner, event.round, members, config.local_epochs, seed, event.loss)
            return config.local_epochs
        held_out = self.held_out[fold] if self.held_out else None
        stopping = Stopping(held_out, config.early_stopping or 0) if held_out else None
        how: dict[str, Any] = {"steps": config.local_steps, "augment": True, "stopping": stopping}
        done = learner.fit(members, config.local_epochs, seed, event.loss, **how)
        return len(done) if stopping is None else stopping.kept
