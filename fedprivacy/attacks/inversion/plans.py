"""What is attempted on each message: by the training that is known, and by the rank of its first layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fedprivacy.attacks.inversion.exact.spear import EXACT, seen
from fedprivacy.attacks.inversion.knowledge import Knowledge as Card
from fedprivacy.attacks.inversion.messages import Sent, whole
from fedprivacy.attacks.inversion.private_steps import private_steps
from fedprivacy.attacks.inversion.situation import Situation, situation
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.knowledge import Knowledge


class Plans:
    """Plans of messages of one ``model``, whose parameters are called ``names``; each is made once."""

    def __init__(self, model: nn.Module, knowledge: Knowledge, scale: PixelScale, names: frozenset[str]) -> None:
        self._model, self._knowledge, self._scale, self._names = model, knowledge, scale, names
        self._made: dict[Sent, Situation] = {}

    def of(self, sent: Sent) -> Situation:
        """What is attempted on ``sent``."""
        if sent not in self._made:
            self._made[sent] = self._plan(sent)
        return self._made[sent]

    def alike(self, group: Sequence[Sent]) -> list[list[Sent]]:
        """Messages of which the same is attempted with the same card: they run as one batch."""
        by_work: dict[object, list[Sent]] = {}
        for one in group:
            by_work.setdefault(self.of(one).work, []).append(one)
        return list(by_work.values())

    def without_rank(self, group: Sequence[Sent]) -> None:
        """From now on plan for ``group`` as if the rank told nothing."""
        self._made.update({one: self._situation(one, 0) for one in group})

    def undecayed(self, sent: Sent, steps: int) -> dict[str, Tensor]:
        """The whole change without what weight decay alone makes of the weights in ``steps`` steps of SGD.

        What is left is a combination of the steps' gradients, since ``w <- w - lr v, v <- momentum v + g + decay w`` is
        linear in both.
        """
        training, weight, speed = self._knowledge.settings.training, 1.0, 0.0
        for _ in range(steps if training.weight_decay and training.optimizer == "sgd" else 0):
            speed = training.momentum * speed + training.weight_decay * weight
            weight -= training.lr * speed
        change = sent.change
        if weight != 1.0:
            change = {name: moved - (weight - 1) * sent.before[name].double() for name, moved in change.items()}
        return whole(change, sent.before, self._names)

    def _plan(self, sent: Sent) -> Situation:
        wanted = self._knowledge.attack.inversion
        plan = self._situation(sent, 0)
        linear = self._knowledge.settings.training.optimizer == "sgd"
        if not linear or (wanted.methods and EXACT not in wanted.methods):
            return plan
        made = seen(self._model, self.undecayed(sent, plan.steps), plan.card)
        return plan if made is None or made.rank < 2 else self._situation(sent, made.rank)

    def _situation(self, sent: Sent, behind: int) -> Situation:
        told, classes = self._knowledge, len(self._knowledge.dataset.classes)
        silent = tuple(sorted(self._names - set(sent.change)))
        private = private_steps(told, sent) if told.attack.inversion.adaptive else None
        return situation(told.wire, told.attack.inversion, sent, self._scale, classes, silent, behind, private)


def unmoved(before: Mapping[str, Tensor], change: Mapping[str, Tensor]) -> float:
    """Size of the weights over that of their change."""
    size = sum(float(before[name].double().square().sum()) for name in change)
    moved = sum(float(value.square().sum()) for value in change.values())
    return (size / moved) ** 0.5 if moved > 0 else 0.0


def noised(change: Mapping[str, Tensor], card: Card) -> float:
    """Part of a change that the noise of its steps is, as expected."""
    moved = sum(float(value.square().sum()) for value in change.values())
    entries = card.steps * sum(value.numel() for value in change.values())
    return (card.lr or 0.0) * card.noise * (entries / moved) ** 0.5 if moved > 0 else 0.0
