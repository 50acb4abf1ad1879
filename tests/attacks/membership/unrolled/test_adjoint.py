"""The reverse sweep against automatic differentiation of the whole run at once, and against finite differences.

The oracle is written out here: it takes nothing from the package but the stream that orders the batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Optimiser, Sgd
from fedprivacy.attacks.membership.unrolled.parameters import Flat
from fedprivacy.attacks.membership.unrolled.tape import Step
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Event, Fit, Private, Restart, TakeOver
from fedprivacy.training.learner import Records

N, D, C, PUBLIC = 11, 4, 3, 5
EPS = 1e-3


class Net(nn.Module):
    """Smooth, so that finite differences mean something."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(D, 6), nn.Linear(6, C)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(torch.tanh(self.hidden(x)))
        return z


class Case:
    """A small client with a public phase, in float64."""

    def __init__(self, optimiser: Optimiser, training: TrainingConfig, events: Sequence[Event]) -> None:
        with seeds.torch_scope(3, "case"):
            self.net = Net().double()
            self.x, self.y = torch.randn(N, D), torch.randint(0, C, (N,))
            self.coins = torch.rand(N, dtype=torch.float64)
            self.asked = {1: torch.randn(PUBLIC, D), 2: torch.randn(PUBLIC, D)}
            self.weights = {t: torch.randn(PUBLIC, C, dtype=torch.float64) for t in self.asked}
        flat = Flat.of(self.net)
        self.start = flat.flatten(self.net.state_dict())
        fold = [torch.arange(N)]
        self.client = Client(flat, optimiser, training, self.x, self.y, fold, self.asked, events, 0.5)

    def value(self, coins: Tensor) -> float:
        """A scalar of the answers."""
        done = self.client.forward(self.start, coins, seed=5, keep=False)
        return sum(float((self.weights[t] * z).sum()) for t, z in done.answers.items())

    def derivative(self) -> tuple[Tensor, Tensor]:
        done = self.client.forward(self.start, self.coins, seed=5)
        return derivatives(done, self.client.optimiser, self.start, self.weights)


RECORDS = Records(np.linspace(-1, 1, PUBLIC * D).reshape(PUBLIC, D).astype(np.float32), np.arange(PUBLIC) % C)


def squared(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    return (functional.softmax(logits, 1) - functional.one_hot(labels, C)).square().mean() + logits[
        :, 0
    ].square().mean()


def events(own: bool) -> list[Event]:
    fit = Fit(RECORDS, squared, 2, "public", own_moments=own, round=1)
    over = TakeOver({"head.bias": torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)})
    return [Private(1), Answer(1), fit, over, Private(2), Answer(2)]


ADAM = Adam(0.05, EPS, adjoint_eps=0)
KERAS = Adam(0.05, EPS / 10, form="keras", adjoint_eps=0)
CASES = [
    (ADAM, TrainingConfig(batch_size=3), events(own=False)),
    (ADAM, TrainingConfig(batch_size=3), events(own=True)),
    (ADAM, TrainingConfig(batch_size=3, local_steps=3, optimizer_state="fresh"), events(own=False)),
    (
        Adam(0.05, EPS, 0.1, adjoint_eps=0),
        TrainingConfig(batch_size=4),
        [Private(1), Answer(1), Restart(), Private(2), Answer(2)],
    ),
    (KERAS, TrainingConfig(batch_size=3), events(own=False)),
    (Sgd(0.2, 0.9, 0.05), TrainingConfig(batch_size=3), events(own=True)),
    (Sgd(0.2), TrainingConfig(batch_size=3), events(own=False)),
]


@pytest.mark.parametrize("optimiser, training, course", CASES)
def test_the_sweep_agrees_with_finite_differences(
    optimiser: Optimiser, training: TrainingConfig, course: Sequence[Event]
):
    case = Case(optimiser, training, course)
    by_coins, _ = case.derivative()
    step = 1e-6
    for i in range(0, N, 2):
        bump = torch.zeros(N, dtype=torch.float64)
        bump[i] = step
        slope = (case.value(case.coins + bump) - case.value(case.coins - bump)) / (2 * step)
        assert float(by_coins[i]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("optimiser", [ADAM, Sgd(0.2)])
def test_the_start_counts_by_what_precedes_all_private_training_too(optimiser: Optimiser):
    case = Case(optimiser, TrainingConfig(batch_size=3), [Fit(RECORDS, squared, 2, "transfer"), *events(own=False)])
    (_, by_start), start, step = case.derivative(), case.start, 1e-6
    for i in range(0, len(start), 9):
        bump = torch.zeros_like(start)
        bump[i] = step
        ends = []
        for case.start in (start + bump, start - bump):
            ends.append(case.value(case.coins))
        assert float(by_start[i]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


def test_coins_count_the_same_where_the_start_is_known():
    case = Case(ADAM, TrainingConfig(batch_size=3), [Fit(RECORDS, squared, 2, "transfer"), *events(own=False)])
    done = case.client.forward(case.start, case.coins, seed=5, start_known=True)
    by_coins, _ = derivatives(done, case.client.optimiser, case.start, case.weights)
    torch.testing.assert_close(by_coins, case.derivative()[0], rtol=0, atol=0)


def test_a_tape_made_piece_by_piece_is_the_same(monkeypatch: pytest.MonkeyPatch):
    pieces = Case(ADAM, TrainingConfig(batch_size=3), events(own=True))
    assert not pieces.client._fits_into_memory(pieces.start)
    by_coins, by_start = pieces.derivative()
    monkeypatch.setattr(Client, "_fits_into_memory", lambda self, start: True)
    whole, whole_start = Case(ADAM, TrainingConfig(batch_size=3), events(own=True)).derivative()
    torch.testing.assert_close(by_coins, whole, rtol=0, atol=0)
    torch.testing.assert_close(by_start, whole_start, rtol=0, atol=0)


@pytest.mark.parametrize("optimizer_state", ["persistent", "fresh"])
def test_the_sweep_is_the_derivative_of_the_whole_run(optimizer_state: str):
    training = TrainingConfig.model_validate({"batch_size": 3, "optimizer_state": optimizer_state})
    case = Case(ADAM, training, events(own=False))
    by_coins, by_start = case.derivative()
    coins, start = case.coins.clone().requires_grad_(), case.start.clone().requires_grad_()
    total = _whole_run(case, coins, start, optimizer_state == "persistent")
    expected, expected_start = torch.autograd.grad(total, (coins, start))
    torch.testing.assert_close(by_coins, expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(by_start, expected_start, rtol=1e-8, atol=1e-10)
    assert float(total.detach()) == pytest.approx(case.value(case.coins))


def _whole_batches(rows: Tensor, coins: Tensor) -> list[Tensor]:
    """Cut where weights reach multiples of 3; a record belongs where the middle of its weight lies."""
    parts: list[list[int]] = [[] for _ in range(int(np.ceil(float(coins.sum()) / 3)))]
    total = 0.0
    for row in rows.tolist():
        parts[min(len(parts) - 1, int((total + float(coins[row]) / 2) // 3))].append(row)
        total += float(coins[row])
    return [torch.tensor(part) for part in parts]


@pytest.mark.parametrize("members, steps, last", [(6, 2, 3), (8, 3, 2), (5, 2, 2), (2, 1, 2)])
def test_coins_that_are_certain_make_the_batches_of_a_client(members: int, steps: int, last: int):
    case = Case(Sgd(0.2), TrainingConfig(batch_size=3, local_epochs=1), [Private(1), Answer(1)])
    coins = (torch.arange(N) < members).double()
    done = case.client.forward(case.start, coins, seed=5)
    batches = [
        [int(row) for row in torch.nonzero(by)[:, 0] if row < members]
        for by in (
            torch.autograd.grad(step.gradient.g.sum(), done.coins, retain_graph=True)[0]
            for section in done.sections
            for step in section()
            if isinstance(step, Step)
        )
    ]
    assert [len(batch) for batch in batches] == [3] * (steps - 1) + [last]
    assert sorted(row for batch in batches for row in batch) == list(range(members))


def _whole_run(case: Case, coins: Tensor, start: Tensor, persistent: bool) -> Tensor:
    """The run in one graph: a dictionary of weights, Adam by its formula, two passes of two private phases."""
    shapes = {name: p.shape for name, p in case.net.named_parameters()}
    parts = start.split([shape.numel() for shape in shapes.values()])
    w = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    order = seeds.generator(5, "unrolled", "order")

    def logits(x: Tensor) -> Tensor:
        h = torch.tanh(x.double() @ w["hidden.weight"].T + w["hidden.bias"])
        return h @ w["head.weight"].T + w["head.bias"]

    def adam(loss: Tensor, moments: dict[str, list[Tensor]], t: int) -> None:
        gradients = torch.autograd.grad(loss, list(w.values()), create_graph=True)
        for (name, value), g in zip(list(w.items()), gradients, strict=True):
            m, v = moments.setdefault(name, [torch.zeros_like(g), torch.zeros_like(g)])
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            moments[name] = [m, v]
            w[name] = value - 0.05 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + EPS)

    private: dict[str, list[Tensor]] = {}
    t, total = 0, torch.zeros((), dtype=torch.float64)
    for number in (1, 2):
        if not persistent:
            private, t = {}, 0
        for _ in range(2):
            rows = torch.randperm(N, generator=order)
            for part in _whole_batches(rows, case.coins):
                loss = functional.cross_entropy(logits(case.x[part]), case.y[part], reduction="none")
                t += 1
                last = part[-1] == rows[-1]
                adam((coins[part] * loss).sum() / (coins[part].sum().clamp_min(1) if last else 3), private, t)
        total = total + (case.weights[number] * logits(case.asked[number])).sum()
        if number == 1:
            public: dict[str, list[Tensor]] = {}
            x, y = torch.from_numpy(RECORDS.x), torch.from_numpy(RECORDS.y)
            step = 0
            for _ in range(2):
                # Five records in even batches of at most three: two, then three.
                for part in (slice(0, 2), slice(2, 5)):
                    step += 1
                    adam(squared(logits(x[part]), y[part], torch.arange(PUBLIC)[part]), public, step)
            w["head.bias"] = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64).requires_grad_()
    return total
