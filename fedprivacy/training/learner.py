"""One client's training: a model with its optimiser, fitted to records under a loss.

Records stay as stored (uint8 images); each batch is indexed and normalised on the way in. All randomness of a fit
(order of the batches, dropout) comes from one named seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.config.run import TrainingConfig
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.by_hand import Chain, chain, cross_entropy_slope
from fedprivacy.training.losses import cross_entropy, predicted_class
from fedprivacy.training.memory import keep_freed_memory
from fedprivacy.training.optimiser import Optimiser
from fedprivacy.training.passes import normalises_batches, of_several, passes
from fedprivacy.training.stopping import Watch
from fedprivacy.training.taught import WrittenOut

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B], positions of the batch in the records [B]) -> scalar."""

Seed = tuple[int, tuple[str | int, ...]]
"""Root and name."""

Taken = Callable[[Tensor], Tensor]
"""Positions of records [B] -> input of the model [B, ...]."""


AT_ONCE = 2**22
"""Numbers of input up to which the records of a pass are made ready together."""


class Diverged(Exception):
    """Training reached a loss that is not finite."""


@dataclass(frozen=True, eq=False)
class Records:
    """Records as stored, ``x`` [N, ...] and labels ``y`` [N]."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    guarded: bool = False
    """Only a private fit may train on them; :meth:`Learner.fit` refuses."""

    def __len__(self) -> int:
        return len(self.y)

    def joined(self, other: Records) -> Records:
        """Both, one after the other; guarded if either is."""
        guarded = self.guarded or other.guarded
        return Records(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]), guarded)

    def as_guarded(self) -> Records:
        """The same records, for a private fit alone."""
        return Records(self.x, self.y, True)


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy over one pass, measured while training."""

    loss: float
    accuracy: float


def label_loss(logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
    """Plain cross-entropy as a :data:`Loss`."""
    return cross_entropy(logits, labels)


def of_logits(loss: Loss) -> Loss:
    """Say of a loss that it depends on logits, labels and positions alone, so that it can be taken beside others."""
    loss.of_logits = True  # type: ignore[attr-defined]
    return loss


class Together(Protocol):
    """Does the fits of several workbenches as one computation (:mod:`fedprivacy.training.abreast`)."""

    def takes(self, learner: Learner, loss: Loss) -> bool:
        """Whether it can."""

    def fit(
        self,
        learner: Learner,
        records: Records,
        epochs: int,
        seed: Seed,
        loss: Loss,
        shuffle: bool,
        even: bool,
        batch_size: int,
    ) -> list[Epoch]:
        """Change ``learner`` as :meth:`Learner.fit` does. Raises :class:`Diverged`."""

    def fleet(self, asked: Any) -> list[dict[str, Tensor]]:
        """Train the members of a :class:`~fedprivacy.training.fleet.Fleet`; their weights. Raises :class:`Diverged`."""


class Workbench:
    """Builds and caches one module an architecture; weights are loaded into it for each piece of work."""

    def __init__(
        self,
        build: Callable[[str, Seed], nn.Module],
        config: TrainingConfig,
        device: str = "cpu",
        together: Together | None = None,
    ) -> None:
        keep_freed_memory()
        self.build, self.config, self.device, self.together = build, config, torch.device(device), together
        self._modules: dict[str, nn.Module] = {}
        self._plain: dict[str, dict[str, Tensor]] = {}

    def with_training(self, config: TrainingConfig) -> Workbench:
        """A workbench of the same architectures that trains otherwise."""
        return Workbench(self.build, config, str(self.device), self.together)

    def beside(self, together: Together) -> Workbench:
        """A workbench of the same architectures whose fits are done together with those of others."""
        return Workbench(self.build, self.config, str(self.device), together)

    def module(self, model: str, slot: str = "") -> nn.Module:
        """The module of architecture ``model`` in a slot; its present weights mean nothing."""
        key = f"{slot}:{model}"
        if key not in self._modules:
            made = self._modules[key] = self.build(model, (0, ("workbench",))).to(self.device)
            if chain(made) is not None:
                self._plain[key] = dict(made.named_parameters())
        return self._modules[key]

    def loaded(self, model: str, weights: Mapping[str, Tensor], slot: str = "") -> nn.Module:
        """The same with ``weights``, free to train and without gradients."""
        module = self.module(model, slot)
        own = self._plain.get(f"{slot}:{model}")
        if own is None or own.keys() != weights.keys() or any(own[n].shape != weights[n].shape for n in own):
            module.load_state_dict(weights)
            module.requires_grad_(True)
            module.zero_grad(set_to_none=True)
            return module
        for name, parameter in own.items():  # what torch does for any module takes longer than a step of a small one
            parameter.data.copy_(weights[name])
            parameter.grad = None
            parameter.requires_grad_(True)
        return module

    def made(self, model: str, seed: Seed) -> nn.Module:
        """A new module of architecture ``model`` with initial weights from a named seed, on the CPU."""
        return self.build(model, seed)

    def initial(self, model: str, seed: Seed) -> dict[str, Tensor]:
        """Initial weights of ``model`` from a named seed."""
        return _copied(self.build(model, seed).state_dict())

    def learner(
        self,
        model: str,
        weights: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor] | None = None,
        slot: str = "",
    ) -> Learner:
        """A learner that starts from ``weights``, with a fresh optimiser or the given moments."""
        return Learner(self.loaded(model, weights, slot), self.config, self.device, optimizer, self.together)

    def logits(self, model: str, weights: Mapping[str, Tensor], x: NDArray[Any]) -> Tensor:
        """Logits [N, C] of ``weights`` on records, in inference mode, on the CPU."""
        return predict(self.loaded(model, weights), x, self.device)


class Learner:
    """A module with loaded weights and an optimiser."""

    def __init__(
        self,
        module: nn.Module,
        config: TrainingConfig,
        device: torch.device,
        optimizer: Mapping[str, Tensor] | None = None,
        together: Together | None = None,
    ) -> None:
        self.module, self.config, self.device, self.together = module, config, device, together
        self._moments = optimizer

    @cached_property
    def optimizer(self) -> Optimiser:
        """The optimiser, with the given moments loaded."""
        return Optimiser(self.module.parameters(), self.config, self._moments or {})

    def renew_optimizer(self) -> None:
        """Forget the moments."""
        self._moments = None
        self.__dict__.pop("optimizer", None)

    def become(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        """Go on from ``weights`` and ``moments``."""
        self.module.load_state_dict(weights)
        self.renew_optimizer()
        self._moments = moments

    def goes_on(self, parameters: Sequence[Tensor], moments: Mapping[str, Tensor]) -> None:
        """The same where all there is are parameters, in their order."""
        for own, value in zip(self.optimizer.parameters, parameters, strict=True):
            own.data.copy_(value)
        self.renew_optimizer()
        self._moments = moments

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rate of the present optimiser."""
        self.optimizer.lr *= factor

    def fit(
        self,
        records: Records,
        epochs: int,
        seed: Seed,
        loss: Loss = label_loss,
        *,
        shuffle: bool = True,
        even: bool = False,
        batch_size: int | None = None,
        steps: int | None = None,
        augment: bool = False,
        stopping: Watch | None = None,
    ) -> list[Epoch]:
        """Train for ``epochs`` passes, or exactly ``steps`` steps, and return what each pass measured.

        ``even`` cuts the records into ceil(N / batch) nearly equal batches; otherwise all but the last are full.
        Without ``shuffle`` the order is fixed. ``augment``: each batch as the settings say. ``stopping`` may end
        the training before and takes it back to its best pass. A model that normalises over its batch leaves out a last
        batch of one. No records: no steps. Raises :class:`Diverged` on a loss that is not finite, and ValueError for
        guarded records.
        """
        if records.guarded:
            raise ValueError("these records are under differentially private training: fit them by env.private_fit")
        if not len(records):
            return []
        size, kinds = batch_size or self.config.batch_size, self.config.augmentation if augment else ()
        plain = epochs > 0 and steps is None and stopping is None and not kinds
        if plain and self.together is not None and self.together.takes(self, loss):
            return self.together.fit(self, records, epochs, seed, loss, shuffle, even, size)
        x, y = torch.from_numpy(records.x).to(self.device), torch.from_numpy(records.y).to(self.device)
        layers, report = chain(self.module), []
        several = normalises_batches(self.module)
        draw = seeds.generator(seed[0], *seed[1], "augmentation")

        def taken(rows: Tensor) -> Tensor:
            return augmented(normalised(x[rows]), kinds, draw)

        self.module.train()
        with seeds.torch_scope(seed[0], *seed[1], "dropout"):
            for rows, parts in passes(len(records), size, epochs, seed, steps, shuffle=shuffle, even=even):
                steps_taken = of_several(parts) if several else parts
                report.append(self._epoch(layers, taken, y, rows.to(self.device), steps_taken, loss, x[0].numel()))
                if stopping is not None and stopping.enough(self):
                    break
        if stopping is not None:
            stopping.restore(self)
        return report

    def _epoch(
        self,
        layers: Chain | None,
        taken: Taken,
        y: Tensor,
        rows: Tensor,
        parts: Sequence[slice],
        loss: Loss,
        width: int,
    ) -> Epoch:
        """One pass; ``taken``: the input of records at positions, ``width`` numbers each."""
        seen = rows[: parts[-1].stop]
        labels = y[seen]
        ready = taken(seen) if len(seen) * width <= AT_ONCE else None
        values: list[Tensor] = []
        answers: list[Tensor] = []
        gradients: Sequence[Tensor | None]
        for part in parts:
            chosen = rows[part]
            inputs = taken(chosen) if ready is None else ready[part]
            if layers is None:
                logits = self.module(inputs)
                value = loss(logits, labels[part], chosen)
                gradients = slopes(value, self.optimizer.parameters)
            else:
                value, logits, gradients = self._by_hand(layers, inputs, labels[part], chosen, loss)
            self.optimizer.apply(gradients)
            values.append(value.detach())
            answers.append(logits.detach())
        return passed(values, answers, labels, [part.stop - part.start for part in parts])

    def _by_hand(
        self, layers: Chain, inputs: Tensor, labels: Tensor, chosen: Tensor, loss: Loss
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Loss, logits and gradients; a term of the loss in the weights themselves is left to autograd."""
        with torch.no_grad():
            seen = layers.forward(inputs)
            logits = seen[-1]
            if loss is label_loss and logits.shape[1] > 1:
                value, slope = cross_entropy_slope(logits, labels)
                return value, logits, layers.gradients(slope, seen)
            if logits.shape[1] > 1 and isinstance(loss, WrittenOut):
                value, slope = loss.slopes(logits, labels, chosen, 1 / len(chosen))
                return value, logits, layers.gradients(slope, seen)
        value = loss(logits.requires_grad_(), labels, chosen)
        slope, *beside = torch.autograd.grad(value, [logits, *self.optimizer.parameters], allow_unused=True)
        with torch.no_grad():
            gradients = layers.gradients(torch.zeros_like(logits) if slope is None else slope, seen)
            return value, logits, [g if more is None else g + more for g, more in zip(gradients, beside, strict=True)]

    def logits(self, x: NDArray[Any]) -> Tensor:
        """Logits [N, C] in inference mode, on the CPU."""
        return predict(self.module, x, self.device)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the present weights and buffers."""
        return _copied(self.module.state_dict())

    def moments(self) -> dict[str, Tensor]:
        """The optimiser's state as named tensors; empty before the first step."""
        if "optimizer" not in self.__dict__:
            return dict(self._moments or {})
        return self.optimizer.moments()


def slopes(value: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """Derivatives of the scalar ``value`` by ``parameters``; None for those that are frozen or have no part in it."""
    free = [parameter for parameter in parameters if parameter.requires_grad]
    found = iter(torch.autograd.grad(value, free, allow_unused=True))
    return [next(found) if parameter.requires_grad else None for parameter in parameters]


def passed(values: Sequence[Tensor], logits: Sequence[Tensor], labels: Tensor, sizes: Sequence[int]) -> Epoch:
    """What a pass measured: the losses and logits of its steps of ``sizes`` records, ``labels`` of all.

    Raises :class:`Diverged` on a loss that is not finite.
    """
    mean = float((torch.stack(list(values)).double().cpu() * torch.tensor(sizes)).sum()) / sum(sizes)
    if not np.isfinite(mean):
        raise Diverged(f"the loss became {mean}")
    return Epoch(mean, float((predicted_class(torch.cat(list(logits))) == labels).double().mean()))


PrivateFit = Callable[[Learner, Records, int, Seed, Loss, int], list[Epoch]]
"""(learner, private records, epochs, seed, loss, nominal number of records) -> what each pass measured."""


def predict(module: nn.Module, x: NDArray[Any], device: torch.device, rows: int = 512) -> Tensor:
    """Logits [N, C] of ``module`` in inference mode on records as stored; on the CPU."""
    module.eval()
    with torch.inference_mode():
        parts = [module(normalised(torch.from_numpy(x[i : i + rows]).to(device))).cpu() for i in range(0, len(x), rows)]
    return torch.cat(parts).clone() if parts else torch.empty(0, 1)


def as_input(x: NDArray[Any]) -> NDArray[Any]:
    """Stored records as :func:`normalised` makes them, once for many models; as they are where that takes much room."""
    return normalised(torch.from_numpy(x)).numpy() if x.size <= AT_ONCE else x


def normalised(x: Tensor) -> Tensor:
    """Stored records as model input: uint8 images over 255, features as they are."""
    return x.to(torch.float32).div_(255.0) if x.dtype == torch.uint8 else x.to(torch.float32)


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
