"""The loss all attacks are compared by: put the reconstruction through the client's training, and hold the result
against the message. Relative L2 distance in float64; it needs no truth. Of Adam the records themselves leave a rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.gradients import GradientMap, Layout, frozen_copy, gradient_map
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.matching import relative_l2
from fedprivacy.attacks.inversion.told import told
from fedprivacy.attacks.inversion.unroll import SOFT, UpdateMap


def simulation(model: nn.Module, parameters: Mapping[str, Tensor], knowledge: Knowledge, like: Tensor) -> GradientMap:
    """What the client computes from its records, as far as the card knows: its gradient, or its update over -lr.

    Adam is smoothed as the attacks smooth it. Its own first step is the sign of each coordinate, also of those that a
    picture gives a trace of and the record none, so that pictures near the record would look as bad as any.
    """
    if knowledge.shared == "update" and knowledge.lr is not None:
        return UpdateMap(frozen_copy(model, parameters, knowledge, like), knowledge, soft=SOFT)
    return gradient_map(model, parameters, knowledge, like)


def common_loss(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    images: Tensor,
    targets: Tensor,
) -> Tensor:
    """Relative L2 distance [T] of the re-simulated messages to the ``observed`` ones; lower is better, 0 is equal.

    ``images`` [T, B, C, H, W] in pixel scale are cut to [0, 1] first; ``targets`` [T, B, classes] are label
    distributions. NaN where a reconstruction is NaN. An update of unknown learning rate is compared up to its scale.
    Messages pass one by one, so that memory does not grow with their number.
    """
    like, layout, one = torch.zeros(1, dtype=torch.float64), Layout.of(model), torch.arange(1)
    inputs = knowledge.to_input(images.to(like).clamp(0, 1))
    problem = simulation(model, parameters, knowledge, like)
    losses = []
    for target, message in enumerate(observed):
        wanted = layout.flat(message, like)[None]
        if knowledge.shared == "update":
            wanted = wanted / -(knowledge.lr or 1.0)
        simulated = problem.values(inputs[target, None], targets[target, None].to(like))
        seen = told(knowledge, layout, wanted)
        scaled = knowledge.shared == "gradient" or knowledge.lr is not None
        losses.append(relative_l2(seen.of(simulated, one), seen.of(wanted, one), scale_known=scaled))
    return torch.cat(losses)
