"""The reverse sweep: from derivatives by a client's answers to those by the weights of its candidates.

Going back over the tape, each step costs one adjoint of the optimiser and one vector product with the second derivative
of its loss, which the step kept what it needs for. What a fresh optimiser forgot stays forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.autograd import grad

from fedprivacy.attacks.membership.unrolled.optimisers import Optimiser, State
from fedprivacy.attacks.membership.unrolled.tape import Fresh, Kept, Pass, Step, Told


def derivatives(
    done: Pass, optimiser: Optimiser, start: Tensor, by_answers: Mapping[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Derivatives by coins [n] and by the start [P], given those by the answers' logits [N, C] of each round.

    Those by the start are none of a pass that was made for coins alone (``start_known`` of :meth:`Client.forward`).

    Uses the tape up: its graphs are freed. Takes sections of it one at a time, the last first.
    """
    by_w, by_coins, by_start = torch.zeros_like(start), torch.zeros_like(done.coins), torch.zeros_like(start)
    states: dict[bool, State] = {own: optimiser.fresh(start) for own in (True, False)}
    for entry in (entry for section in reversed(done.sections) for entry in reversed(section())):
        if isinstance(entry, Step):
            by_g = optimiser.adjoint(entry.before, entry.after, entry.number, by_w, states[entry.own])
            through, more = entry.gradient.product(by_g)
            by_w.add_(through)
            by_coins = by_coins if more is None else by_coins.add_(more)
        elif isinstance(entry, Told):
            wanted = by_answers.get(entry.round)
            if wanted is not None:
                # Of a scalar: torch imports sympy where it is given derivatives by more than one number.
                by_w = by_w + grad((entry.logits * wanted).sum(), entry.w)[0]
        elif isinstance(entry, Fresh):
            states[entry.own] = optimiser.fresh(start)
        elif isinstance(entry, Kept):
            by_w = by_w * entry.kept
        else:
            by_start, by_w = by_start + by_w, torch.zeros_like(by_w)
    return by_coins.detach(), by_start + by_w
