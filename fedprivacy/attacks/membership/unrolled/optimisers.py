"""Steps of Adam and SGD on flat vectors, and their adjoints.

A step takes (w, state, g) to (w', state'); its adjoint takes the derivatives of some scalar by (w', state') to those by
(w, state, g). Both follow torch's rules: bias-corrected moments, ``epsilon`` outside the root (in either form of
:mod:`fedprivacy.training.adam`), weight decay as an L2 term of the gradient, momentum without dampening.

An adjoint is given the states around its step, and neither w nor g: ``(1 - b1) g = m' - b1 m``. A sweep waits for
memory, and a tape of gradients and weights too would be twice as long.

Adam's adjoint has an epsilon of its own. The derivative of a step by its gradient is of the order lr / (sqrt(v) + eps),
and by v of lr m / v^1.5: for coordinates that hardly ever had a gradient both are astronomically large over a range of
g that is astronomically small, and products of hundreds of such factors say nothing of a finite change of a record's
weight. ``adjoint_eps``, added to ``sqrt(v_hat)`` where the step adds less, smooths them away; at 0 the
adjoint is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from fedprivacy.config.run import TrainingConfig
from fedprivacy.training.adam import Form, corrected

State = tuple[Tensor, ...]
TINY = 1e-36
"""Added to squares before their root, so that nothing is divided by 0."""
BETA_1, BETA_2 = 0.9, 0.999
BLOCK = 1 << 16
"""Entries worked on at a time: few enough for their operands to stay in a core's cache, and enough for few calls."""


@dataclass(frozen=True)
class Adam:
    """Adam with torch's default betas; its state is (m, v)."""

    lr: float
    eps: float
    weight_decay: float = 0.0
    form: Form = "torch"
    adjoint_eps: float = 3e-4

    def fresh(self, w: Tensor) -> State:
        """The state before the first step."""
        return torch.zeros_like(w), torch.zeros_like(w)

    def step(self, w: Tensor, state: State, g: Tensor, number: int) -> tuple[Tensor, State]:
        """One step of torch's own kernel; ``number`` counts from 1."""
        new, m, v = w.clone(), state[0].clone(), state[1].clone()
        adam(
            [new],
            [g],
            [m],
            [v],
            [],
            [torch.tensor(float(number - 1))],
            fused=True,
            amsgrad=False,
            beta1=BETA_1,
            beta2=BETA_2,
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=corrected(self.eps, self.form, BETA_2, number),
            maximize=False,
        )
        return new, (m, v)

    def adjoint(self, before: State, after: State, number: int, by_w: Tensor, by_state: State) -> Tensor:
        """Derivatives by g, without the path from w through g; those by w and the state are changed in place.

        ``before`` and ``after``: the states around the step. Runs block by block, so that all operands of a block stay
        in the cache. The derivative by m is kept times ``1 - b1``.
        """
        unbias = (1 - BETA_2**number) ** 0.5
        rate = self.lr / (1 - BETA_1**number) * unbias
        smooth = unbias * max(self.adjoint_eps, corrected(self.eps, self.form, BETA_2, number))
        by_g = torch.empty_like(by_w)
        scratch = by_w.new_empty(3, min(BLOCK, len(by_w)))
        operands = (before[0], *after, by_w, *by_state, by_g)
        for old, m, v, over_w, over_m, over_v, over_g in zip(*(t.split(BLOCK) for t in operands), strict=True):
            root, size, pull = scratch[:, : len(m)]
            torch.add(v, TINY, out=root).sqrt_()  # torch's root of an exact 0 takes twenty times as long
            torch.add(root, smooth, out=size)
            torch.div(over_w, size, out=pull)
            over_m.sub_(pull, alpha=(1 - BETA_1) * rate)
            over_v.addcdiv_(pull.div_(size).mul_(m), root, value=0.5 * rate)
            torch.sub(m, old, alpha=BETA_1, out=size)
            torch.addcmul(over_m, size, over_v, value=2 * (1 - BETA_2) / (1 - BETA_1), out=over_g)
            over_m.mul_(BETA_1)
            over_v.mul_(BETA_2)
        if self.weight_decay:
            by_w.add_(by_g, alpha=self.weight_decay)
        return by_g


@dataclass(frozen=True)
class Sgd:
    """SGD; its state is the momentum buffer, which torch starts at the first gradient."""

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0

    def fresh(self, w: Tensor) -> State:
        """The state before the first step."""
        return (torch.zeros_like(w),) if self.momentum else ()

    def step(self, w: Tensor, state: State, g: Tensor, number: int) -> tuple[Tensor, State]:
        """One step; ``number`` counts from 1."""
        if self.weight_decay:
            g = g.add(w, alpha=self.weight_decay)
        if not self.momentum:
            return w.add(g, alpha=-self.lr), ()
        buffer = g.add(state[0], alpha=self.momentum)
        return w.add(buffer, alpha=-self.lr), (buffer,)

    def adjoint(self, before: State, after: State, number: int, by_w: Tensor, by_state: State) -> Tensor:
        """Derivatives by g, without the path from w through g; those by w and the state are changed in place."""
        by_g = by_w * -self.lr
        if self.momentum:
            by_g.add_(by_state[0])
            torch.mul(by_g, self.momentum, out=by_state[0])
        if self.weight_decay:
            by_w.add_(by_g, alpha=self.weight_decay)
        return by_g


Optimiser = Adam | Sgd


def optimiser_of(config: TrainingConfig) -> Optimiser:
    """The optimiser of a configuration."""
    if config.optimizer == "sgd":
        return Sgd(config.lr, config.momentum, config.weight_decay)
    return Adam(config.lr, config.adam_eps, config.weight_decay, config.adam_eps_form)
