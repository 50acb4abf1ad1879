"""The loss of several fixed peers written as one: the sum over peers, and its derivative against autograd."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fedprivacy.training.losses import cross_entropy, kl_divergence, log_probabilities
from fedprivacy.training.taught import Curvature, Taught, WrittenOut, curved_by_labels

N, B, C, PEERS, HEAT = 12, 7, 4, 3, 2.0
draw = torch.Generator().manual_seed(0)
PEER_LOGS = torch.log_softmax(torch.randn(PEERS, N, C, generator=draw, dtype=torch.float64), 2)
LOGITS = torch.randn(2, B, C, generator=draw, dtype=torch.float64)
LABELS, ROWS = torch.randint(C, (2, B), generator=draw), torch.stack([torch.randperm(N)[:B] for _ in range(2)])


def taught(own_peer: bool, heat: float, labelled: bool) -> Taught:
    if own_peer:
        return Taught(PEER_LOGS.mean(0), None, 0.7, heat, labelled)
    return Taught(PEER_LOGS.exp().mean(0), (PEER_LOGS.exp() * PEER_LOGS).sum(2).mean(0), 0.7, heat, labelled)


def peer_by_peer(logits: Tensor, labels: Tensor, rows: Tensor, own_peer: bool, heat: float, labelled: bool) -> Tensor:
    own = log_probabilities(logits, heat)
    terms = [kl_divergence(own, q[rows]) if own_peer else kl_divergence(q[rows], own) for q in PEER_LOGS]
    return (cross_entropy(logits, labels) if labelled else 0) + 0.7 * heat**2 * torch.stack(terms).mean()


CASES = list(itertools.product([True, False], [1.0, HEAT], [True, False]))


@pytest.mark.parametrize("case", CASES)
def test_one_divergence_is_the_mean_of_all_and_its_slope_is_autograds(case: tuple[bool, float, bool]) -> None:
    loss = taught(*case)
    assert isinstance(loss, WrittenOut)
    values, slopes = loss.slopes(LOGITS, LABELS, ROWS, 1 / B)
    for m in range(2):
        free = LOGITS[m].clone().requires_grad_()
        wanted = peer_by_peer(free, LABELS[m], ROWS[m], *case)
        (slope,) = torch.autograd.grad(wanted, free)
        wanted = wanted.detach()
        torch.testing.assert_close(loss(LOGITS[m], LABELS[m], ROWS[m]), wanted)
        torch.testing.assert_close(values[m], wanted)
        torch.testing.assert_close(slopes[m], slope)


@pytest.mark.parametrize("case", CASES)
def test_the_curvature_is_the_second_derivative(case: tuple[bool, float, bool]) -> None:
    loss, (logits, labels, rows) = taught(*case), (LOGITS[0], LABELS[0], ROWS[0])
    _checked(lambda free: loss(free, labels, rows), loss.curved(logits, labels, rows), logits)


def test_the_curvature_of_cross_entropy_is_the_second_derivative() -> None:
    _checked(lambda free: cross_entropy(free, LABELS[0]), curved_by_labels(LOGITS[0], LABELS[0]), LOGITS[0])


def _checked(mean: Callable[[Tensor], Tensor], curved: tuple[Tensor, Curvature], logits: Tensor) -> None:
    """Each record's own derivatives are B times those of the mean."""
    free, vector = logits.clone().requires_grad_(), torch.linspace(-1, 1, B * C, dtype=torch.float64).view(B, C)
    (slope,) = torch.autograd.grad(mean(free), free, create_graph=True)
    (product,) = torch.autograd.grad(slope, free, vector)
    torch.testing.assert_close(curved[0], slope.detach() * B)
    torch.testing.assert_close(curved[1](vector), product * B)


def test_records_count_by_their_share() -> None:
    loss, share = taught(True, 1.0, True), torch.zeros(2, B, 1, dtype=torch.float64)
    share[:, :3] = 1 / 3
    values, slopes = loss.slopes(LOGITS, LABELS, ROWS, share)
    for m in range(2):
        torch.testing.assert_close(values[m], loss(LOGITS[m, :3], LABELS[m, :3], ROWS[m, :3]))
    assert not slopes[:, 3:].any()


def test_logits_are_left_as_they_are() -> None:
    before = LOGITS.clone()
    taught(True, 1.0, True).slopes(LOGITS, LABELS, ROWS, 1 / B)
    assert torch.equal(LOGITS, before)
