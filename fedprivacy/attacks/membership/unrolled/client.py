"""One client's run under relaxed coins: every candidate takes part with a weight in [0, 1], with its derivative.

The forward pass follows the events of the protocol (:mod:`fedprivacy.federation.course`) step by step and keeps what
the adjoint needs: the weights of each step, the optimiser's state after it, and the graph of its gradient. A private
batch is cut where the weights of its candidates add up to the members of a real one, so that there are as many steps as
in a client with that many members; each candidate's gradient counts by its weight. Public fits run as they are. What
the adversary cannot know, the order of the batches, augmentation and dropout, is drawn anew in each pass.

The weights multiply the derivative of the protocol's own loss by the logits, so any loss that is a mean over records
serves as it is. Under differentially private training batches, their size and the noise are that training's own
(:mod:`.private_training`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import ceil

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.batch import Batch
from fedprivacy.attacks.membership.unrolled.optimisers import Optimiser, State
from fedprivacy.attacks.membership.unrolled.parameters import Model
from fedprivacy.attacks.membership.unrolled.private_training import PrivateTraining
from fedprivacy.attacks.membership.unrolled.tape import Entry, Fresh, Kept, Pass, Step, Told
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Event, Fit, Private, Restart, TakeOver
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.clipping import clip_factors
from fedprivacy.training.learner import normalised
from fedprivacy.training.passes import normalises_batches, of_several, passes

TAPE_BYTES = 1 << 30
"""Size of a tape above which only the state between events is kept, and each event is run once more."""

SLACK = 1e-3
"""Part of a batch that a sum of weights may lie above a whole number of batches by rounding alone."""


@dataclass(frozen=True, eq=False)
class Client:
    """All that is known of the client.

    ``x`` [n, ...] normalised and ``y`` [n]: candidates, and whatever else may stand for its records; ``folds``: the
    positions in them that it trains on in each round (the last fold is repeated). ``asked``: normalised records by
    round that it answered. ``events``: its course. ``inclusion``: expected weight of a candidate.
    ``private``: how it trains on its own records, where a defense says so. ``passes``: over its own records, by round,
    where they are not those of the configuration.
    """

    model: Model
    optimiser: Optimiser
    training: TrainingConfig
    x: Tensor
    y: Tensor
    folds: Sequence[Tensor]
    asked: Mapping[int, Tensor]
    events: Sequence[Event]
    inclusion: float
    private: PrivateTraining | None = None
    passes: Mapping[int, int] = field(default_factory=dict)

    def forward(self, start: Tensor, coins: Tensor, seed: int, keep: bool = True, start_known: bool = False) -> Pass:
        """Run the course from ``start`` [P] with weights ``coins`` [n]; ``seed`` draws orders and dropout.

        ``keep``: make the tape; ``start_known``: without what precedes all private training, so that it gives no
        derivative by the start. Raises FloatingPointError where the training diverges.
        """
        with seeds.torch_scope(seed, "unrolled", "dropout"):
            return _Walk(self, start, coins, seed, keep, not start_known).run(self._fits_into_memory(start))

    def steps(self, event: Event) -> int:
        """Steps of the optimiser in one event that are expected."""
        if isinstance(event, Private) and self.private is not None:
            return self.training.local_epochs * self.private.steps(event.round)
        if isinstance(event, Private):
            passed = -(-len(self.folds[min(event.round, len(self.folds)) - 1]) // self.private_batch)
            limit = self.training.local_steps
            return self.epochs(event.round) * passed if limit is None else limit
        if isinstance(event, Fit):
            return event.epochs * -(-len(event.records) // (event.batch_size or self.training.batch_size))
        return 0

    def epochs(self, round: int) -> int:
        """Passes over its own records in ``round``."""
        return self.passes.get(round, self.training.local_epochs)

    @property
    def private_batch(self) -> int:
        """Candidates in a private batch, as long as nothing is known of their coins."""
        return max(1, round(self.own_batch / self.inclusion))

    @property
    def own_batch(self) -> float:
        """Members in a private batch of a plain client."""
        return self.training.batch_size if self.private is None else self.private.expected(1)

    @cached_property
    def inputs(self) -> Tensor:
        """Candidates as they are, to model input."""
        return self.model.taken(self.x)

    def _fits_into_memory(self, start: Tensor) -> bool:
        """Whether the tape of all steps can be kept: the state after each, and as much again for its batch."""
        return self.model.lean and sum(map(self.steps, self.events)) * 4 * start.nbytes <= TAPE_BYTES


@dataclass(frozen=True, eq=False)
class Saved:
    """Everything that an event begins with."""

    w: Tensor
    state: State
    number: int
    moved: bool
    fit_number: int
    order: Tensor
    random: Tensor


class _Walk:
    """The moving parts of one forward pass."""

    def __init__(self, client: Client, start: Tensor, coins: Tensor, seed: int, keep: bool, moved: bool) -> None:
        self.client, self.start, self.keep = client, start, keep
        self.coins = coins.detach().clone().requires_grad_(keep)
        self.draw = seeds.generator(seed, "unrolled", "order")
        self.w = start
        self.state, self.number = client.optimiser.fresh(start), 0
        self.tape: list[Entry] = []
        self.answers: dict[int, Tensor] = {}
        self.moved = moved
        self.fit_number = 0
        self.seed = seed

    def run(self, whole: bool) -> Pass:
        """The forward pass; ``whole``: with all of the tape at once."""
        if not self.keep:
            for event in self.client.events:
                self._follow(event)
            return Pass(self.answers, (), self.coins)
        sections: list[Callable[[], Sequence[Entry]]] = []
        for event in self.client.events:
            if whole:
                self.tape = []
                self._follow(event)
                sections.append(partial(list, self.tape))
            else:
                sections.append(partial(self._again, event, self._saved()))
                self.keep = False
                self._follow(event)
                self.keep = True
        return Pass(self.answers, sections, self.coins)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Private | Fit):
            self._fit(event)
        elif isinstance(event, Answer):
            self._answer(event.round)
        elif isinstance(event, TakeOver):
            self.w, kept = self.client.model.replaced(self.w, event.tensors)
            self.tape.append(Kept(kept, event.forget))
            if event.forget:
                self._renew()
        elif isinstance(event, Restart):
            self.w = self.start
            self.tape.append(event)
            self._renew()

    def _saved(self) -> Saved:
        random = torch.random.get_rng_state()
        return Saved(self.w, self.state, self.number, self.moved, self.fit_number, self.draw.get_state(), random)

    def _again(self, event: Event, saved: Saved) -> Sequence[Entry]:
        """The tape of one event, from the state before it."""
        self.w, self.state, self.number = saved.w, saved.state, saved.number
        self.moved, self.fit_number, self.tape = saved.moved, saved.fit_number, []
        self.draw.set_state(saved.order)
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(saved.random)
            self._follow(event)
        return self.tape

    def _renew(self) -> None:
        self.state, self.number = self.client.optimiser.fresh(self.start), 0
        self.tape.append(Fresh(own=True))

    def _answer(self, round: int) -> None:
        if round not in self.client.asked:
            return
        self.client.model.module.eval()
        leaf = self.w.detach().requires_grad_(self.keep)
        with torch.set_grad_enabled(self.keep):
            logits = self.client.model.logits(leaf, self._typed(self.client.model.taken(self.client.asked[round])))
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError(f"the simulated training diverged before round {round}")
        self.answers[round] = logits.detach()
        self.tape.append(Told(leaf, logits, round))

    def _fit(self, fit: Private | Fit) -> None:
        self.client.model.module.train()
        own = isinstance(fit, Private) or fit.own_moments
        if own and self.client.training.optimizer_state == "fresh":
            self._renew()
        state, number = (self.state, self.number) if own else (self.client.optimiser.fresh(self.start), 0)
        if not own:
            self.tape.append(Fresh(own=False))
        noised = self.client.private if isinstance(fit, Private) else None
        for batch in self._private(fit) if isinstance(fit, Private) else self._public(fit):
            self.moved = self.moved or batch.coins is not None
            keep, before = self.keep and self.moved, state
            if noised is not None and len(batch.rows):
                with torch.random.fork_rng(devices=[]):  # the gradient drops out what its norm did
                    norms = self.client.model.norms(self.w, batch)
                batch = replace(batch, factors=clip_factors(norms, noised.fit.max_grad_norm))
            g, gradient = self.client.model.gradient(self.w, batch, keep)
            if noised is not None:
                g = g + noised.noise(fit.round, g, self.draw)
            number += 1
            self.w, state = self.client.optimiser.step(self.w, before, g, number)
            if gradient.remembered is not None:
                self.w[-len(gradient.remembered) :] = gradient.remembered
            if keep:
                self.tape.append(Step(gradient, before, state, number, own))
        if own:
            self.state, self.number = state, number

    def _private(self, fit: Private) -> Iterator[Batch]:
        """Batches of candidates whose weights make up a batch of members, the last one of what is left.

        How many there are goes by the sum of the weights, as it goes by the number of members in the client.
        """
        client = self.client
        fold, size = client.folds[min(fit.round, len(client.folds)) - 1], client.training.batch_size
        if client.private is not None:
            for _ in range(client.training.local_epochs):
                for rows in client.private.epoch(fit.round, fold, self.draw):
                    expected = client.private.expected(fit.round)
                    yield Batch(self._moved(rows), client.y[rows], rows, fit.loss, self.coins, expected)
            return
        given = self.coins.detach()
        number = max(1, ceil(float(given[fold].sum()) / size - SLACK))
        limit = client.training.local_steps
        left = client.epochs(fit.round) * number if limit is None else limit
        while left > 0:
            order = fold[torch.randperm(len(fold), generator=self.draw)]
            weight = given[order]
            batch = ((weight.cumsum(0) - weight / 2) / size).long().clamp_max(number - 1)
            parts = order.split(torch.bincount(batch, minlength=number).tolist())
            least = 2 if len(parts) > 1 and normalises_batches(client.model.module) else 1
            for at, rows in enumerate(parts[:left]):
                whole = size if at < number - 1 else None
                if len(rows) >= least:
                    yield Batch(self._moved(rows), client.y[rows], rows, fit.loss, self.coins, whole)
            left -= number

    def _public(self, fit: Fit) -> Iterator[Batch]:
        self.fit_number += 1
        x = self._typed(self.client.model.taken(normalised(torch.from_numpy(fit.records.x))))
        y = torch.from_numpy(fit.records.y)
        size = fit.batch_size or self.client.training.batch_size
        order = (self.seed, ("unrolled", "public", self.fit_number))
        device = self.start.device
        for rows, parts in passes(len(y), size, fit.epochs, order, shuffle=fit.shuffle, even=fit.even):
            for part in of_several(parts) if normalises_batches(self.client.model.module) else parts:
                chosen = rows[part]
                yield Batch(x[chosen].to(device), y[chosen].to(device), chosen.to(device), fit.loss)

    def _moved(self, rows: Tensor) -> Tensor:
        """Candidates as the client trains on them this time."""
        if kinds := self.client.training.augmentation:
            return self._typed(self.client.model.taken(augmented(self.client.x[rows], kinds, self.draw)))
        return self._typed(self.client.inputs[rows])

    def _typed(self, x: Tensor) -> Tensor:
        """Records in the precision of the weights."""
        return x.to(self.w.dtype)
