"""The labels that the attacks on one group of updates begin from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.dictionary import Mixture
from fedprivacy.attacks.inversion.knowledge import Knowledge as Card
from fedprivacy.attacks.inversion.label_recovery import Public, largest_remainder, present_labels, recover_labels
from fedprivacy.attacks.inversion.messages import Sent
from fedprivacy.attacks.inversion.situation import Situation

StatedLabels = Mapping[tuple[int, int], Sequence[int]]
"""(client, number of the message) -> labels of its records: stated knowledge of the preset ``strong`` alone."""
Mixtures = Mapping[tuple[int, int], Mixture]
"""By round and client."""


def labels_behind(
    sent: Sequence[Sent],
    observed: Sequence[Mapping[str, Tensor]],
    plan: Situation,
    card: Card,
    model: nn.Module,
    public: Public,
    stated: StatedLabels,
    mixed: Mixtures,
    headless: bool,
) -> Tensor:
    """[T, B]: stated; or from the updates, for Adam (whose change of a bias is no gradient) by what they are made of.
    Of a single record the sign of a change tells it, whatever the optimiser.

    ``headless``: the last layer was not sent, so that nothing is known.
    """
    if plan.kind == "classes":
        return torch.arange(card.records).repeat(len(sent), 1)
    if headless:
        return torch.zeros(len(sent), card.records, dtype=torch.long)
    if stated:
        return torch.tensor([list(stated[one.client, one.number])[: card.records] for one in sent])
    if card.adam is not None and card.records > 1 and all((one.round, one.client) in mixed for one in sent):
        counts = [largest_remainder(mixed[one.round, one.client].counts, card.records) for one in sent]
        return torch.stack([torch.from_numpy(np.repeat(np.arange(len(own)), own)) for own in counts])
    if card.adam is not None or card.clip is not None or (card.shared == "update" and card.lr is None):
        return torch.stack([present_labels(model, message, card.records) for message in observed])
    state = dict(sent[0].before)
    return torch.stack([recover_labels(model, state, message, card, public) for message in observed])
