"""Randomised response has its likelihood ratio, and a noisy vote its flips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.defenses.noisy_vote import NoisyVote
from fedprivacy.defenses.randomized_response import RandomizedResponse
from fedprivacy.privacy.accountant import claim
from fedprivacy.privacy.claim import RECEIVERS
from fedprivacy.privacy.closed_forms import kept_share
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import MemoryStore


def labels(classes: list[int]) -> Predictions:
    return Predictions(torch.tensor(classes, dtype=torch.uint8)[:, None], "labels")


@pytest.mark.parametrize(("classes", "epsilon0"), [(2, 0.5), (10, 1.0), (5, 3.0)])
def test_answers_have_the_stated_likelihood_ratio(classes: int, epsilon0: float) -> None:
    """20,000 answers to each of two inputs: every answer's two frequencies differ by a factor of at most e^e0."""
    number = 20_000
    defense = RandomizedResponse(0, epsilon0, classes, number)
    frequencies = []
    for true in (0, 1):
        answers = defense.outgoing(labels([true] * number), "client-0", 1).values.flatten().long()  # type: ignore[attr-defined]
        counts = torch.bincount(answers, minlength=classes).numpy()
        other = (1 - kept_share(epsilon0, classes)) / (classes - 1)
        expected = np.full(classes, other * number)
        expected[true] = kept_share(epsilon0, classes) * number
        assert stats.chisquare(counts, expected).pvalue > 1e-3
        frequencies.append(counts / number)
    ratios = np.abs(np.log(frequencies[0] / frequencies[1]))
    assert ratios.max() == pytest.approx(epsilon0, rel=0.1)


def test_answers_of_different_records_and_rounds_are_independent() -> None:
    defense = RandomizedResponse(0, 0.5, 2, 5000)
    flips = []
    for round in (1, 2):
        answers = defense.outgoing(labels([0] * 5000), "client-0", round).values.flatten().double()  # type: ignore[attr-defined]
        flips.append(answers.numpy())
    assert abs(np.corrcoef(flips[0], flips[1])[0, 1]) < 5 / math.sqrt(5000)
    assert abs(np.corrcoef(flips[0][:-1], flips[0][1:])[0, 1]) < 5 / math.sqrt(5000)


def test_probabilities_become_labels_of_one_byte() -> None:
    values = torch.softmax(torch.randn(50, 10, generator=seeds.generator(0, "p")), dim=1)
    found = RandomizedResponse(0, 30.0, 10, 50).outgoing(Predictions(values, "probabilities"), "client-0", 1)
    assert isinstance(found, Predictions)
    assert found.form == "labels"
    assert found.values.dtype == torch.uint8
    assert torch.equal(found.values[:, 0].long(), values.argmax(dim=1))


def test_randomised_response_over_a_run(guarded: Callable[..., Any], tmp_path: Any) -> None:
    hard = {"payload": "labels", "kl_direction": "peer_own"}
    done = guarded("mutual", hard, {"name": "randomized-response", "epsilon": 8.0}).run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 7.9 < found.epsilon <= 8.0
    fixed = guarded("mutual", hard, {"name": "randomized-response", "options": {"epsilon0": 0.1}})
    assert fixed.defense.epsilon0 == 0.1
    with pytest.raises(UsageError, match="cannot work with labels"):
        guarded("ds-fl", {}, {"name": "randomized-response", "epsilon": 8.0})
    with pytest.raises(TypeError, match="not for weights"):
        fixed.defense.outgoing(Weights({}), "client-0", 1)


def vote(deviation: float, rows: int = 1, root: int = 0) -> NoisyVote:
    return NoisyVote(root, deviation, classes=3, columns=3, rows=rows)


def winners(defense: NoisyVote, ballots: list[list[int]]) -> list[int]:
    received = {f"client-{k}": labels(own) for k, own in enumerate(ballots)}
    found = Channel(1, MemoryStore(), defense).combined(received, lambda: pytest.fail("the server's own mean"))
    return found.values.argmax(dim=1).tolist()  # type: ignore[attr-defined, no-any-return]


def test_without_noise_the_most_votes_win() -> None:
    assert winners(vote(0.0, 3), [[0, 1, 2], [0, 2, 2], [1, 1, 2]]) == [0, 1, 2]


def test_one_client_moves_the_counts_by_the_root_of_two() -> None:
    defense = vote(1.0, 2)
    before = defense.counts([labels([0, 1]), labels([0, 1]), labels([0, 1])])
    after = defense.counts([labels([0, 1]), labels([0, 1]), labels([2, 1])])
    assert float((before - after).norm()) == pytest.approx(math.sqrt(2))


def test_noise_flips_a_vote_as_often_as_it_should() -> None:
    """4,000 records with votes 3 to 2 of two classes: flipped with Phi(-1 / (s sqrt 2)) where the third is far off."""
    rows, deviation = 4000, 1.0
    ballots = [[0] * rows] * 3 + [[1] * rows] * 2
    found = np.array(winners(NoisyVote(0, deviation, 2, 2, rows), ballots))
    expected = stats.norm.cdf(-1 / (deviation * math.sqrt(2)))
    assert found.mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / rows))


def test_a_sigmoid_receives_one_column() -> None:
    defense = NoisyVote(0, 0.0, classes=2, columns=1, rows=2)
    received = {"client-0": labels([1, 0]), "client-1": labels([1, 0])}
    found = Channel(1, MemoryStore(), defense).combined(received, lambda: received["client-0"])
    assert found.values.tolist() == [[1.0], [0.0]]


def test_votes_over_a_run(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("ds-fl", {}, {"name": "noisy-vote", "epsilon": 8.0})
    done = made.run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 7.99 < found.epsilon <= 8.0
    assert found.adversary == RECEIVERS
    assert all(m.kind == "predictions" for m in done.transcript.messages)
    up = next(m for m in done.transcript.messages if m.receiver == SERVER)
    assert done.transcript.payload(up).form == "labels"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="peer_mode = 'mean'"):
        guarded("mutual", {}, {"name": "noisy-vote", "epsilon": 8.0})
    with pytest.raises(TypeError, match="not for weights"):
        made.defense.outgoing(Weights({}), "client-0", 1)
    assert guarded("ds-fl", {}, {"name": "noisy-vote", "sigma": 2.0}).defense.deviation == pytest.approx(2 * 2**0.5)
