"""Paired-logits inversion: a class's image from two models' predictions on public records.

Takahashi, Liu, Liu, "Breaching FedMD: Image Recovery via Paired-Logits Inversion Attack" (2023). A network learns, on
public records, to turn the pair (server's prediction, client's prediction) back into the record. It is then shown a
pair no public record has: the client sure of a class of which the server is unsure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock

TEMPERATURE = 3.0
SHARPNESS = 5.0


@dataclass(frozen=True)
class PliSettings:
    """Training of the inversion network, as published; ``width`` (None: by image size) is that of its first layer.

    ``client_only`` is the ablation that sees no server ("TBI").
    """

    lr: float = 3e-5
    weight_decay: float = 1e-4
    batch: int = 8
    epochs: int = 3
    prior_weight: float = 0.03
    width: int | None = None
    client_only: bool = False


@dataclass(frozen=True, eq=False)
class PublicRound:
    """One round's public records as the server has them.

    ``pixels`` [n, C, H, W] in [0, 1]; log-probabilities (or logits) [n, classes] of the server's own model and of the
    client; ``labels`` [n], or None where the public records have none.
    """

    pixels: Tensor
    server_logp: Tensor
    client_logp: Tensor
    labels: Tensor | None = None


class InversionNetwork(nn.Module):
    """Pairs [B, d] to pixels [B, C, H, W] in [0, 1] by transposed convolutions 4 x 4 with batch normalisation.

    The first layer opens a 4 x 4 grid, each later one doubles it and halves the width, until the image fits; the
    middle is cut out. 64 pixels give the published widths 1024-512-256-128.
    """

    def __init__(self, inputs: int, shape: tuple[int, int, int], width: int | None = None) -> None:
        super().__init__()
        channels, height, wide = shape
        doublings = max(1, math.ceil(math.log2(max(height, wide) / 4)))
        first = min(1024, 64 * 2**doublings) if width is None else width
        widths = [max(1, first // 2**level) for level in range(doublings)]
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], 4)]
        for before, after in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)
        side = 4 * 2**doublings
        self.top, self.left, self.size = (side - height) // 2, (side - wide) // 2, (height, wide)

    def forward(self, pairs: Tensor) -> Tensor:
        """[B, d] -> [B, C, H, W]."""
        pixels = (torch.tanh(self.layers(pairs[:, :, None, None])) + 1) / 2
        image: Tensor = pixels[:, :, self.top : self.top + self.size[0], self.left : self.left + self.size[1]]
        return image


def pairs_of(server_logp: Tensor, client_logp: Tensor, client_only: bool = False) -> Tensor:
    """Log-probabilities (or logits) [n, classes] of both, softened at temperature 3: [n, 2 classes] or [n, classes]."""
    client = torch.softmax(client_logp / TEMPERATURE, 1)
    return client if client_only else torch.cat([torch.softmax(server_logp / TEMPERATURE, 1), client], 1)


def target_pairs(classes: int, client_only: bool = False) -> Tensor:
    """The pair of each class [classes, 2 classes]: the client certain, the server unsure.

    The server's part gives ``e^(1/5)`` to the class and 1 to every other, normalised.
    """
    client = torch.eye(classes)
    if client_only:
        return client
    weight = torch.ones(classes, classes) + client * (math.exp(1 / SHARPNESS) - 1)
    return torch.cat([weight / weight.sum(1, keepdim=True), client], 1)


def prior_images(public: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Mean public image of each class [classes, C, H, W]; the overall mean without labels or without a record."""
    overall = public.mean(0)
    if labels is None:
        return overall.expand(classes, *overall.shape).clone()
    groups = [public[labels == c] for c in range(classes)]
    return torch.stack([group.mean(0) if len(group) else overall for group in groups])


def train_inverter(
    rounds: Sequence[PublicRound],
    prior: Tensor,
    root: int,
    settings: PliSettings = PliSettings(),
    clock: Clock = UNLIMITED,
) -> InversionNetwork:
    """An inversion network for one client, from all ``rounds`` in turn, ``epochs`` passes over each.

    ``prior`` [classes, C, H, W] are images of :func:`prior_images`. Loss: ``MSE(x, G) + prior_weight MSE(prior_y, G)``
    with y the record's label (without labels: the mean prior). Deterministic by ``root``. No batch is begun once
    ``clock`` is over.
    """
    shape = tuple(prior.shape[1:])
    with seeds.torch_scope(root, "pli", "network"):
        width = len(prior) * (1 if settings.client_only else 2)
        network = InversionNetwork(width, (shape[0], shape[1], shape[2]), settings.width)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    network.train()
    for number, fold in enumerate(rounds):
        pairs = pairs_of(fold.server_logp, fold.client_logp, settings.client_only).float()
        wanted, guide = fold.pixels.float(), prior.float().mean(0).expand_as(fold.pixels)
        if fold.labels is not None:
            guide = prior.float()[fold.labels]
        draw = seeds.generator(root, "pli", "order", number)
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(pairs), generator=draw).split(settings.batch):
                if len(rows) < 2 or clock.over:
                    continue
                made = network(pairs[rows])
                loss = F.mse_loss(made, wanted[rows]) + settings.prior_weight * F.mse_loss(made, guide[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return network.eval()


def invert_classes(network: InversionNetwork, classes: int, client_only: bool = False) -> Tensor:
    """What the network makes of each class's target pair: pixels [classes, C, H, W]."""
    with torch.no_grad():
        images: Tensor = network(target_pairs(classes, client_only))
    return images
