"""Budgets on a clock that counts work: how fast a processor is has no part in these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion import clock
from fedprivacy.attacks.inversion.best import BestSettings, best_of
from fedprivacy.attacks.inversion.chain import ChainMap
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.dlg import DlgSettings
from fedprivacy.attacks.inversion.exact import search
from fedprivacy.attacks.inversion.exact.spear import SpearSettings
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.prior import PriorSettings
from fedprivacy.attacks.inversion.unroll import UnrollSettings, UpdateMap
from fedprivacy.models.build import build

State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, CLASSES, RECORDS = (1, 8, 8), 4, 3
CARD = Knowledge(SHAPE, CLASSES, records=RECORDS, public_images=6)
LONG = BestSettings(
    DlgSettings(outer=500, stop_below=0.0),
    CosineSettings(iterations=10_000, tolerance=-1.0),
    prior=PriorSettings(refine=CosineSettings(iterations=10_000, tolerance=-1.0)),
    spear=SpearSettings(rounds=10_000, patience=10_000),
    explained=-1.0,
)
"""Far more of everything than a budget allows, and nothing that stops earlier."""


class Work:
    """One for each gradient that is matched, and for each sweep of the search for exact records."""

    def __init__(self) -> None:
        self.done, self.factor = 0, 1.0

    def seconds(self) -> float:
        return self.done * self.factor

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def once(*given: Any) -> Any:
            self.done += 1
            return function(*given)

        return once


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    told = Work()
    monkeypatch.setattr(clock, "process_time", told.seconds)
    for kind in (ChainMap, UpdateMap):
        monkeypatch.setattr(kind, "gradients", told.counted(kind.gradients))
    monkeypatch.setattr(search, "_normalised", told.counted(search._normalised))
    yield told


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([2, 0, 1])


def _public(images: Tensor) -> tuple[Tensor, Tensor]:
    return images.flip(3), torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize("seconds", [200, 700])
def test_attacks_on_a_gradient_keep_to_a_budget_of_time(
    smooth: nn.Module, images: Tensor, gradient_of: Any, state_of: State, labels: Tensor, work: Work, seconds: int
) -> None:
    sent = gradient_of(smooth, images[:RECORDS], labels)
    settings, draw = replace(LONG, seconds=float(seconds)), torch.Generator().manual_seed(0)
    found = best_of(
        smooth, state_of(smooth), [sent] * 2, CARD, draw, _public(images), settings, labels=labels.repeat(2, 1)
    )
    assert [row.attack for row in found.rows if row.found is not None] == ["idlg", "cosine", "prior"]
    assert 0.9 * seconds <= work.done <= 1.1 * seconds


def test_simulated_steps_keep_to_a_budget_of_time(
    smooth: nn.Module, images: Tensor, state_of: State, labels: Tensor, work: Work
) -> None:
    card = replace(CARD, shared="update", lr=0.1, epochs=2)
    before = state_of(smooth)
    optimiser = torch.optim.SGD(smooth.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        F.cross_entropy(smooth(images[:RECORDS]), labels).backward()
        optimiser.step()
    sent = {name: value - before[name] for name, value in state_of(smooth).items()}
    unroll = UnrollSettings("lbfgs", LONG.dlg, LONG.cosine)
    settings, draw = replace(LONG, local_steps=unroll, seconds=150.0), torch.Generator().manual_seed(0)
    found = best_of(smooth, before, [sent], card, draw, _public(images), settings, labels=labels[None])
    assert [row.attack for row in found.rows if row.found is not None] == ["local-steps", "prior"]
    assert 135 <= work.done <= 165


def test_the_search_for_exact_records_keeps_to_its_share(gradient_of: Any, state_of: State, work: Work) -> None:
    """Twelve records behind sixty rows without any prior: the search would go on for long."""
    model = build("mlp", SHAPE, CLASSES, "softmax", 0, "a").double()
    draw = torch.Generator().manual_seed(3)
    x, labels = torch.rand((40, *SHAPE), generator=draw, dtype=torch.float64), torch.arange(40) % CLASSES
    sent = gradient_of(model, x, labels)
    settings, card = replace(LONG, seconds=300.0), replace(CARD, records=40)
    best_of(model, state_of(model), [sent], card, draw, None, settings, ["spear"], labels[None])
    assert 270 <= work.done <= 330


@pytest.mark.parametrize("slower", [1.0, 1e9])
def test_without_a_budget_of_time_no_machine_is_too_slow(
    smooth: nn.Module, images: Tensor, gradient_of: Any, state_of: State, labels: Tensor, work: Work, slower: float
) -> None:
    quick = BestSettings(DlgSettings(outer=1), CosineSettings(iterations=12), explained=0.0)
    sent, seen = gradient_of(smooth, images[:RECORDS], labels), []
    for factor in (1e-9, slower):
        work.factor = factor
        draw = torch.Generator().manual_seed(0)
        seen.append(best_of(smooth, state_of(smooth), [sent], CARD, draw, None, quick, labels=labels[None]))
    assert torch.equal(seen[0].images, seen[1].images) and seen[0].chosen == seen[1].chosen
