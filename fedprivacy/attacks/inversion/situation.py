"""What can be attempted on an update, from what the adversary knows of the client's training.

One step is a gradient. Several plain steps on few records are simulated. Anything else is no gradient of single
records any more: then one image a class is sought whose gradient points where the whole update points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fedprivacy.adversary.sight import Wire
from fedprivacy.attacks.inversion.knowledge import Adam, Start
from fedprivacy.attacks.inversion.knowledge import Knowledge as Card
from fedprivacy.attacks.inversion.messages import Sent
from fedprivacy.config.inversion import InversionConfig
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.environment import round_half_up

MOST_STEPS = 32
LOW_RANK = "low-rank"
"""Kind of payload that leaves out the small singular values of each matrix."""

Kind = Literal["records", "classes"]


@dataclass(frozen=True)
class Private:
    """Differentially private training of one message: ``steps`` of a sum of gradients clipped to ``clip``, over
    ``expected`` records, with noise of ``deviation`` on every entry; ``every``: on all records each, else on a random
    ``share`` of them that nobody tells."""

    clip: float
    expected: float
    deviation: float
    steps: int
    every: bool
    share: float = 1.0

    @property
    def followed(self) -> bool:
        """Whether the steps can be simulated."""
        return self.steps <= MOST_STEPS

    @property
    def averaged(self) -> bool:
        """Whether it is on average alone: of several random batches nobody knows who was in which."""
        return self.steps > 1 and not self.every

    def used(self, records: int) -> int:
        """Different records in the steps, of ``records`` in all."""
        return records if self.every or self.averaged else max(1, round_half_up(self.expected))

    def card(self, base: Card, lr: float) -> Card:
        """What is then known, beside ``base``."""
        expected = self.expected / self.share if self.averaged else self.expected
        return replace(base, lr=lr, epochs=self.steps, clip=self.clip, expected=expected, noise=self.deviation)

    @property
    def told(self) -> str:
        """What is attempted, in words."""
        found = (
            f"simulated with gradients clipped to {self.clip:g}, beside noise of deviation {self.deviation:.2g} a step"
        )
        if self.averaged:
            found += f", each record at its share of {self.share:.2g} in every step: who was in which is not known"
            found += ", and how much that varies is not in the noise"
        return found


@dataclass(frozen=True)
class Situation:
    """``card``: the attacker's knowledge, of single records or (``classes``) of one image a class.

    ``one_step``: the update is a gradient, of known scale where the card has a learning rate. ``steps`` on ``used``
    different records are what lies behind it; ``attempt`` says what is tried and why.
    """

    kind: Kind
    card: Card
    one_step: bool
    attempt: str
    steps: int
    used: int
    exact_only: bool = False
    """Too many records, or too little known of the steps, for any attack but one that reads all of them exactly."""

    @property
    def work(self) -> tuple[Kind, Card, bool, bool]:
        """What decides the attack: updates of equal work run as one batch."""
        return self.kind, self.card, self.one_step, self.exact_only


def told(plans: Sequence[Situation], optimizer: str, merged: int) -> list[str]:
    """What was attempted, one sentence an attempt, with the steps and records of all its updates."""
    sentences = []
    for attempt in dict.fromkeys(plan.attempt for plan in plans):
        same = [plan for plan in plans if plan.attempt == attempt]
        steps, used = _range([p.steps for p in same]), _range([p.used for p in same])
        whose = f"the mean of {merged} clients' updates" if merged > 1 else "each update"
        step, record = "step" if steps == "1" else "steps", "record" if used == "1" else "records"
        each = " of each" if merged > 1 else ""
        sentences.append(f"{whose} is {steps} local {step} of {optimizer} on {used} {record}{each}, {attempt}")
    return sentences


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def situation(
    wire: Wire,
    wanted: InversionConfig,
    sent: Sent,
    scale: PixelScale,
    classes: int,
    silent: tuple[str, ...] = (),
    behind: int = 0,
    private: Private | None = None,
) -> Situation:
    """The situation of one update; ``silent``: parameters that were not sent.

    ``private``: how each step is clipped and noised, where that is known. ``behind``: the number of records as the rank
    of a first dense layer tells it, 0 where it does not; then it counts, whatever the client said.
    Of known scale is the update of SGD whose loss is, at the weights that were sent, that of private records alone.
    """
    training, declared = wire.federation.training, wire.model
    assert declared is not None
    passes = math.ceil(sent.records / training.batch_size)
    steps = training.local_steps or training.local_epochs * passes
    used, epochs = _records(sent.records, training.batch_size, steps, passes)
    if private is not None:
        steps, epochs = private.steps, private.steps
        used = private.used(sent.records)
    plain = training.optimizer == "sgd" and declared.loss != "more"
    fresh = sent.first or training.optimizer_state == "fresh"
    guarded = wanted.adaptive and wire.defended.rescales
    lr = training.lr if plain and (fresh or training.momentum == 0) and not guarded else None
    past = () if fresh else _past(wire, sent, steps)
    adam = Adam(training.adam_eps, training.adam_eps_form, past or ()) if training.optimizer == "adam" else None
    if adam is not None and declared.loss != "more" and past is not None and not guarded:
        lr = training.lr
    cut = wanted.adaptive and wire.defended.cuts
    base = Card(
        scale.shape,
        classes,
        shared="update",
        records=behind or used * sent.merged,
        lr=lr,
        hold=declared.hold,
        mean=tuple(-low / size for low, size in zip(scale.low, scale.range, strict=True)),
        std=tuple(1 / size for size in scale.range),
        public_images=wire.federation.data.auxiliary,
        zeros="unknown" if cut else "known",
        silent=silent,
        low_rank=tuple(n for n, t in sent.change.items() if t.ndim > 1) if declared.kind == LOW_RANK else (),
    )
    if wanted.knowledge == "blind":
        blind = replace(base.under("blind"), mean=base.mean, std=base.std)
        if behind > 1:
            return Situation("records", replace(blind, records=behind), True, told_by(behind), steps, used, True)
        return Situation("records", blind, True, "taken as the direction of one record's gradient", steps, used)
    few = base.records <= wanted.most_records
    if private is not None and plain and few and private.followed and not (training.momentum or training.weight_decay):
        return Situation("records", private.card(base, training.lr), False, private.told, steps, used)
    simple = training.momentum == 0 and training.weight_decay == 0 and epochs > 0 and sent.merged == 1
    simple = simple and declared.steps_known and training.early_stopping is None and not training.augmentation
    simple = simple and behind in (0, used)
    if simple and lr is not None and steps <= MOST_STEPS and few and (steps > 1 or adam is not None):
        order: Literal["known", "unknown"] = "known" if epochs == 1 else "unknown"
        card = replace(base, batch=min(training.batch_size, used), epochs=epochs, order=order, adam=adam)
        moments = "" if adam is None else f", from {adam.moments}"
        return Situation("records", card, False, f"simulated step by step{moments}", steps, used)
    if steps == 1 and few:
        lr = None if adam is not None else lr
        how = "taken as the gradient" if lr is not None else "its direction taken as that of the gradient"
        if adam is not None:
            how += "; a first step of adam sends little more than the signs"
        return Situation("records", replace(base, lr=lr), True, how, steps, used)
    if behind > 1:
        return Situation("records", replace(base, lr=None), True, told_by(behind), steps, used, True)
    many = base.records > wanted.most_records
    why = f"more than {wanted.most_records} records to tell apart" if many else "which cannot be simulated"
    if not many and adam is not None and past is None:
        why += ", since the moments that adam brings from earlier rounds are not told"
    return Situation(
        "classes",
        replace(base, records=classes, lr=None),
        True,
        f"{why}: one image a class is sought, together of a gradient that points the same way",
        steps,
        used,
    )


def _past(wire: Wire, sent: Sent, steps: int) -> tuple[Start, ...] | None:
    """Where the earlier rounds began whose moments a client's optimiser brought: those of training on the same records
    in every step, all in sight. None where they are not known, or too many to simulate."""
    training, data = wire.federation.training, wire.federation.data
    same = data.schedule == "whole" and data.layout == "pools" and sent.records <= training.batch_size
    if sent.earlier is None or not same or steps * sent.number > MOST_STEPS:
        return None
    return sent.earlier


def told_by(rank: int) -> str:
    """How a number of records that nobody told is known."""
    return f"{rank} records by the rank of the first layer's gradient, which are read exactly"


def _records(number: int, batch: int, steps: int, passes: int) -> tuple[int, int]:
    """(different records in the steps, whole passes over them), 0 passes where the last one is cut short."""
    if steps <= passes:
        return min(number, steps * batch), 1
    return number, steps // passes if steps % passes == 0 else 0
