"""How fast one training step is, beside the matrix multiplication that the same core reaches in the same minute.

    python benchmarks/training_step.py [--repeats 15] [--at-least 0.5] [--profile]

One thread, processor time (other jobs on the machine cost less than with wall time), best of the repeats. A step is
forward, backward and Adam on a batch of 32; its operations are counted, not estimated (a multiply-add is two). Rows
of the paper's network (Gupta 2025, 3x100x100) differ in one thing each, so that every gain has its own line.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy import seeds
from fedprivacy.models import convolution
from fedprivacy.models.build import Output, build

BATCH = 32
PAPER = (3, 100, 100)
OTHERS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("mlp", (1, 28, 28)),
    ("cnn", (1, 28, 28)),
    ("cnn", (3, 32, 32)),
    ("lenet-sigmoid", (3, 32, 32)),
    ("resnet18", (3, 32, 32)),
)
Step = Callable[[], object]


class Plain(nn.Module):
    """The paper's network as one would first write it: ReLU before pooling, whole batch, layout of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.dense, self.head = nn.Linear(21 * 21 * 64, 64), nn.Linear(64, 1)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 100, 100] -> logits [B, 1]."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.drop(F.relu(self.conv3(x)).flatten(1))
        logits: Tensor = self.head(self.drop(F.relu(self.dense(x))))
        return logits


class PooledFirst(Plain):
    """The same with the ReLU after the pooling: equal values and gradients, a quarter of the ReLU's work."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 100, 100] -> logits [B, 1]."""
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = self.drop(F.relu(self.conv3(x)).flatten(1))
        logits: Tensor = self.head(self.drop(F.relu(self.dense(x))))
        return logits


def seconds(step: Step, repeats: int) -> float:
    """Processor time of the fastest of ``repeats`` calls, after two to warm up."""
    step()
    step()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        step()
        best = min(best, time.process_time() - start)
    return best


def matmul_rate(repeats: int, side: int = 1024, times: int = 4) -> float:
    """Floating-point operations a second of ``side`` x ``side`` float32 products."""
    draw = seeds.generator(0, "benchmark", "matmul")
    a, b = torch.randn(side, side, generator=draw), torch.randn(side, side, generator=draw)
    out = torch.empty(side, side)

    def step() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return times * 2 * side**3 / seconds(step, repeats)


def training_step(module: nn.Module, shape: tuple[int, ...], layout: torch.memory_format, fused: bool = True) -> Step:
    """A step of ``module`` on one fixed batch in the given layout."""
    draw = seeds.generator(0, "benchmark", "batch")
    x = torch.rand(BATCH, *shape, generator=draw)
    if layout is torch.channels_last:
        x = x.to(memory_format=layout)
        module.to(memory_format=layout)  # type: ignore[call-overload]
    outputs = module(x).shape[1]
    y = torch.randint(max(outputs, 2), (BATCH,), generator=draw)
    optimizer = torch.optim.Adam(module.parameters(), fused=fused, foreach=not fused)

    def step() -> None:
        logits = module(x)
        if outputs == 1:
            loss = F.binary_cross_entropy_with_logits(logits.squeeze(1), y.float())
        else:
            loss = F.cross_entropy(logits, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def operations(step: Step) -> int:
    """Floating-point operations of one step in convolutions and matrix products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def unsliced(step: Step) -> Step:
    """The same step with the whole batch in one slice."""

    def whole() -> None:
        kept, convolution.SLICE_BYTES = convolution.SLICE_BYTES, 2**62
        try:
            step()
        finally:
            convolution.SLICE_BYTES = kept

    return whole


def rows() -> list[tuple[str, Step]]:
    """Every row of the table: what it is, and its step; the last row of the paper's network is ours."""

    def ours(fused: bool = True, output: Output = "sigmoid") -> Step:
        module = build("gupta-cnn", PAPER, 2, output, 0, "benchmark")
        return training_step(module, PAPER, torch.contiguous_format, fused)

    table = [
        ("paper's CNN, plain", training_step(Plain(), PAPER, torch.contiguous_format)),
        ("  channels-last", training_step(Plain(), PAPER, torch.channels_last)),
        ("  pooled before ReLU", training_step(PooledFirst(), PAPER, torch.contiguous_format)),
        ("  both", training_step(PooledFirst(), PAPER, torch.channels_last)),
        ("gupta-cnn, one slice", unsliced(ours())),
        ("gupta-cnn, Adam by foreach", ours(fused=False)),
        ("gupta-cnn", ours()),
    ]
    for name, shape in OTHERS:
        module = build(name, shape, 10, "softmax", 0, "benchmark")
        label = f"{name}, {'x'.join(map(str, shape))}"
        table.append((label, training_step(module, shape, torch.contiguous_format)))
    return table


def main() -> int:
    """Print the table; 1 where ``gupta-cnn`` stays below ``--at-least``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="calls of each step, the best counts")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit 1 where gupta-cnn reaches a lower share")
    parser.add_argument("--profile", action="store_true", help="also print where the time of gupta-cnn goes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rate = matmul_rate(given.repeats)
    measured = []
    for label, step in rows():
        measured.append((label, operations(step), seconds(step, given.repeats)))
        rate = max(rate, matmul_rate(3))
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread")
    print(f"float32 matrix product 1024x1024: {rate / 1e9:.1f} GFLOP/s (best over the run)\n")
    print(f"{'step, batch ' + str(BATCH):<28}{'GFLOP':>8}{'ms':>9}{'GFLOP/s':>10}{'share':>8}")
    for label, count, taken in measured:
        share = count / taken / rate
        print(f"{label:<28}{count / 1e9:>8.2f}{taken * 1e3:>9.1f}{count / taken / 1e9:>10.1f}{share:>8.2f}")
    by_label = {label: count / taken / rate for label, count, taken in measured}
    if given.profile:
        _print_profile(dict(rows())["gupta-cnn"])
    return int(by_label["gupta-cnn"] < given.at_least)


def _print_profile(step: Step) -> None:
    step()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(5):
            step()
    print()
    print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))


if __name__ == "__main__":
    sys.exit(main())
