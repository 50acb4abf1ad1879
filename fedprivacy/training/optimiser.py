"""SGD and Adam over tensors, a step in one fused call.

The arithmetic, the state and its names are those of ``torch.optim`` with ``fused=True``, bit for bit; what is left out
is the work around a step, which on a small network costs more than the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fedprivacy.config.run import TrainingConfig
from fedprivacy.training.adam import as_keras, corrected

BETAS = (0.9, 0.999)
"""Decay of Adam's moments (Kingma and Ba 2015, algorithm 1)."""


def optimizer_over(parameters: Iterable[Tensor], config: TrainingConfig) -> torch.optim.Optimizer:
    """A fresh optimiser of torch with the settings of ``config``, for loops that are written for one."""
    if config.optimizer == "adam":
        adam = torch.optim.Adam(
            parameters,
            lr=config.lr,
            eps=config.adam_eps,
            weight_decay=config.weight_decay,
            fused=True,
        )
        if config.adam_eps_form == "keras":
            as_keras(adam, config.adam_eps)
        return adam
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


class Optimiser:
    """The optimiser of ``config`` over ``parameters``, fresh or with ``moments`` (see :meth:`moments`).

    ``before`` and ``after`` are called around every step.
    """

    def __init__(
        self, parameters: Iterable[Tensor], config: TrainingConfig, moments: Mapping[str, Tensor] = {}
    ) -> None:
        self.parameters, self.config, self.lr = list(parameters), config, config.lr
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []
        self.state: list[dict[str, Tensor]] = [{} for _ in self.parameters]
        for name, value in moments.items():
            index, _, slot = name.partition(".")
            self.state[int(index)][slot] = _placed(value, slot, self.parameters[int(index)])
        self.done = max((int(slots["step"]) for slots in self.state if "step" in slots), default=len(moments))
        self._present: tuple[bool, ...] | None = None
        self._groups: list[tuple[list[int], list[Tensor], list[list[Tensor]]]] = []
        self._counts: list[Tensor] = []

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of what is kept of each parameter."""
        if self.config.optimizer == "adam":
            return ("step", "exp_avg", "exp_avg_sq")
        return ("momentum_buffer",) if self.config.momentum else ()

    @property
    def eps(self) -> float:
        """What Adam adds to ``sqrt(v_hat)`` in the last step that was made."""
        return corrected(self.config.adam_eps, self.config.adam_eps_form, BETAS[1], max(self.done, 1))

    def step(self) -> None:
        """A step along the gradients that the parameters hold; those that hold none stay where they are."""
        self.apply([parameter.grad for parameter in self.parameters])

    def apply(self, gradients: Sequence[Tensor | None]) -> None:
        """A step along ``gradients``, one a parameter, in their order."""
        present = tuple([gradient is not None for gradient in gradients])
        if present != self._present:
            self._group(present)
        for look in self.before:
            look()
        self.done += 1
        with torch.no_grad():
            for counts in self._counts:
                counts.add_(1)
            for places, parameters, state in self._groups:
                given = [g for i in places if (g := gradients[i]) is not None]
                fused(self.config, self.lr, self.done, parameters, list(map(_laid_out, given, parameters)), state)
        for look in self.after:
            look()

    def forget_gradients(self) -> None:
        """Let go of the gradients that the parameters hold."""
        for parameter in self.parameters:
            parameter.grad = None

    def moments(self) -> dict[str, Tensor]:
        """A copy of the state, on the CPU, by number of the parameter and name of the slot."""
        return {
            f"{index}.{slot}": value.detach().cpu().clone().contiguous()
            for index, slots in enumerate(self.state)
            for slot, value in slots.items()
        }

    def _group(self, present: tuple[bool, ...]) -> None:
        """Lists for the fused call: one group a device and type, of the parameters that have gradients."""
        kinds: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for index, parameter in enumerate(self.parameters):
            if present[index]:
                kinds.setdefault((parameter.device, parameter.dtype), []).append(index)
                for slot in self.slots:
                    if slot not in self.state[index]:
                        self.state[index][slot] = _fresh(slot, parameter)
        self._present = present
        # Counts of steps stand side by side in one tensor a group, which is raised at once.
        self._counts = []
        for places in kinds.values() if "step" in self.slots else ():
            self._counts.append(torch.stack([self.state[i]["step"] for i in places]))
            for i, count in zip(places, self._counts[-1].unbind(), strict=True):
                self.state[i]["step"] = count
        self._groups = [
            (
                places,
                [self.parameters[i].detach() for i in places],
                [[self.state[i][slot] for i in places] for slot in self.slots],
            )
            for places in kinds.values()
        ]


def fused(
    config: TrainingConfig,
    lr: float,
    done: int,
    parameters: list[Tensor],
    gradients: list[Tensor],
    state: list[list[Tensor]],
) -> None:
    """Step number ``done`` (1-based) in one call; ``state``: tensors by slot, in the order of :attr:`Optimiser.slots`.

    Adam's counts of steps must have been raised to ``done`` before.
    """
    if config.optimizer == "adam":
        steps, first, second = state
        torch._fused_adam_(
            parameters,
            gradients,
            first,
            second,
            [],
            steps,
            lr=lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=config.weight_decay,
            eps=corrected(config.adam_eps, config.adam_eps_form, BETAS[1], done),
            amsgrad=False,
            maximize=False,
        )
        return
    torch._fused_sgd_(
        parameters,
        gradients,
        state[0] if state else [],
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        lr=lr,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=done == 1,
    )


LANES = 16
"""A vector register holds at most so many numbers."""


def filled(values: Tensor) -> Tensor:
    """Biases of models side by side [M, n], with zeros up to whole registers; all else [M, ...] as it is.

    What is left over after whole registers is rounded otherwise, and which numbers are would depend on the neighbours.
    """
    spare = -values.shape[1] % LANES if values.ndim == 2 else 0
    return functional.pad(values, (0, spare)) if spare else values


def unfilled(values: Tensor, shape: Sequence[int]) -> Tensor:
    """A view of the part of ``values`` that is a parameter of ``shape`` of each model."""
    return values[:, : shape[0]] if values.ndim == 2 else values


def _laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The same gradient in memory as its parameter lies there: a fused step reads both as they lie."""
    if gradient.stride() == parameter.stride() and gradient.dtype == parameter.dtype:
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _fresh(slot: str, parameter: Tensor) -> Tensor:
    if slot == "step":
        return torch.zeros((), dtype=torch.float32, device=parameter.device)
    return torch.zeros_like(parameter, memory_format=torch.preserve_format).detach()


def _placed(value: Tensor, slot: str, parameter: Tensor) -> Tensor:
    if slot == "step":
        return value.detach().to(parameter.device, torch.float32, copy=True)
    return torch.empty_like(parameter).copy_(value.detach())
