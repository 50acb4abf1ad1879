"""What each form of predictions says: nothing against the logits behind it, more the further they are away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.order_noise import Drawn, noises
from fedprivacy.attacks.membership.unrolled.readings import (
    Hard,
    Largest,
    Levels,
    Linear,
    Margins,
    Noise,
    Reading,
    Soft,
    cauchy,
    reading,
    sent_for,
    whitened,
)
from fedprivacy.wire.payload import Predictions

N, C = 20, 5


def normal(*shape: int, name: str = "logits") -> Tensor:
    return torch.randn(*shape, generator=seeds.generator(1, name))


LOGITS = 2 * normal(N, C)
LABELS = torch.arange(N) % C


def probabilities(logits: Tensor = LOGITS) -> Tensor:
    return torch.softmax(logits, dim=1)


def rounded(bits: int) -> Predictions:
    steps = 2**bits - 1
    return Predictions((probabilities() * steps).round() / steps, "probabilities")


def classes() -> Predictions:
    return Predictions(torch.nn.functional.one_hot(LOGITS.argmax(dim=1), C).float(), "probabilities")


def largest(k: int) -> Predictions:
    values, classes = probabilities().topk(k, dim=1)
    rest = (1 - values.sum(dim=1, keepdim=True)) / (C - k)
    return Predictions(rest.expand(-1, C).contiguous().scatter(1, classes, values), "probabilities")


def noised() -> Predictions:
    return Predictions((probabilities() + 0.05 * normal(N, C, name="noise")).clamp_min(0), "probabilities")


FORMS: list[tuple[Predictions, type]] = [
    (sent_for(LOGITS, LABELS, "logits"), Soft),
    (sent_for(LOGITS, LABELS, "probabilities"), Soft),
    (sent_for(LOGITS, LABELS, "losses"), Margins),
    (sent_for(LOGITS, LABELS, "labels"), Hard),
    (rounded(4), Levels),
    (rounded(1), Levels),
    (classes(), Hard),
    (largest(2), Largest),
    (noised(), Linear),
]


@pytest.mark.parametrize("payload, kind", FORMS)
def test_the_form_is_recognised_and_the_truth_costs_least(payload: Predictions, kind: type):
    read = reading(payload, LABELS)
    assert type(read) is kind
    noise = Noise(sigma=0.2)
    true = float(read.cost(LOGITS, noise))
    for number in range(8):
        other = LOGITS + normal(N, C, name=f"away-{number}")
        assert float(read.cost(other, noise)) > true
        assert float(read.cost(LOGITS + 3 * (other - LOGITS), noise)) > float(read.cost(other, noise))


@pytest.mark.parametrize("payload, kind", FORMS)
def test_a_constant_added_to_logits_says_nothing(payload: Predictions, kind: type):
    read, noise = reading(payload, LABELS), Noise(sigma=0.5)
    away = (LOGITS + normal(N, C, name="away")).double()
    shifted = away + normal(N, 1, name="shift").double()
    assert float(read.cost(shifted, noise)) == pytest.approx(float(read.cost(away, noise)), rel=1e-6)


@pytest.mark.parametrize("form", ["logits", "probabilities", "labels"])
def test_one_sigmoid_is_two_classes(form: str):
    z = 2 * normal(N, 1)
    pair = torch.cat([torch.zeros(N, 1), z], dim=1)
    noise, away = Noise(sigma=0.3), normal(N, 1, name="away")
    single = reading(sent_for(z, LABELS % 2, form), LABELS % 2)
    double = reading(sent_for(pair, LABELS % 2, form), LABELS % 2)
    there = torch.cat([torch.zeros(N, 1), away], dim=1)
    assert float(single.cost(away, noise)) == pytest.approx(float(double.cost(there, noise)), rel=1e-4)
    assert float(single.cost(z, noise)) <= float(single.cost(away, noise))


def test_what_lies_inside_a_rounded_level_costs_nothing():
    read = reading(rounded(3), LABELS)
    assert float(read.cost(LOGITS, Noise(sigma=0.1))) == pytest.approx(0, abs=1e-6)


def test_a_row_that_one_bit_leaves_empty_is_no_class():
    """No probability is above one half there, and the first class is no likelier than any other."""
    empty = rounded(1).values.sum(dim=1) == 0
    assert 3 < int(empty.sum()) < N
    read, noise = reading(rounded(1), LABELS), Noise(sigma=0.1)
    flat, first = torch.where(empty[:, None], 0.0, LOGITS), LOGITS.clone()
    first[empty] = torch.nn.functional.one_hot(torch.tensor(0), C) * 4.0
    assert float(read.cost(flat, noise)) == pytest.approx(0, abs=1e-6)
    assert float(read.cost(first, noise)) > 10


def test_small_residuals_cost_half_their_square_and_large_ones_far_less():
    assert float(cauchy(torch.tensor([1e-3]))) == pytest.approx(5e-7, rel=1e-4)
    one_far_off = torch.cat([torch.zeros(99), torch.tensor([100.0])])
    assert float(cauchy(one_far_off)) < 60


def test_residuals_that_are_all_large_still_pull():
    all_far_off = torch.full((50,), 1e4).requires_grad_()
    (pull,) = torch.autograd.grad(cauchy(all_far_off), all_far_off)
    assert float(all_far_off.detach() @ pull) > 50


def test_whitening_takes_shared_patterns_out():
    residuals = normal(N, C) + 7
    flat = torch.full((N, 1), N**-0.5)
    white = whitened(residuals, Noise(sigma=2.0, shared=flat, taken=torch.ones(1)))
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(C), atol=1e-5, rtol=0)
    torch.testing.assert_close(white, (residuals - residuals.mean(dim=0)) / 2)


def test_noise_is_measured_from_pairs_of_orders():
    """Differences of twice the variance; a part is shared by all records of the fold, another by each half of them."""
    pairs, number = 60, 50
    alone = 0.2 + 0.3 * (torch.arange(number) % 2)[:, None]
    halves = torch.sign(torch.arange(number) - 24.5)[:, None]
    base = normal(number, C)

    def replay(name: str) -> Tensor:
        own = alone * normal(number, C, name=f"own-{name}")
        return base + own + 0.3 * normal(1, C, name=f"all-{name}") + 0.4 * halves * normal(1, C, name=f"half-{name}")

    answers = [{1: replay(str(one))} for one in range(2 * pairs)]
    read: Reading = reading(sent_for(base, LABELS[:1].expand(number), "logits"), LABELS[:1].expand(number))
    found = noises({1: read}, Drawn(np.zeros((2 * pairs, 3), dtype=bool), answers, pairs))[1]
    again = torch.stack([read.features(replay(f"again-{one}")) - read.features(base) for one in range(200)])
    white = torch.stack([whitened(one, found) for one in again])
    # Log-probabilities are known up to a constant a row: C - 1 columns in C.
    covariance = torch.einsum("sic,sjc->ij", white, white) / (200 * (C - 1))
    # Half of what is believed takes records as alone, and so the noise for somewhat larger than it is.
    assert 0.5 < float(covariance.diagonal().mean()) < 1.1
    assert float(torch.linalg.eigvalsh(covariance)[-1]) < 2.5
    plain = torch.einsum("sic,sjc->ij", again, again) / (200 * (C - 1) * float(found.sigma) ** 2)
    assert float(torch.linalg.eigvalsh(plain)[-1]) > 20


def test_a_round_of_many_records_counts_as_much_as_one_of_few():
    few, many = normal(N, C), normal(10 * N, C, name="many")

    def replay(one: int) -> dict[int, Tensor]:
        return {1: few + normal(N, C, name=f"few-{one}"), 2: many + normal(10 * N, C, name=f"many-{one}")}

    labels = {1: LABELS, 2: torch.arange(10 * N) % C}
    reads = {t: reading(sent_for(x, labels[t], "logits"), labels[t]) for t, x in ((1, few), (2, many))}
    found = noises(reads, Drawn(np.zeros((20, 3), dtype=bool), [replay(one) for one in range(20)], 10))
    squares = [
        float(
            torch.stack([reads[t].residuals(replay(one)[t], found[t]).square().sum() for one in range(20, 60)]).mean()
        )
        for t in (1, 2)
    ]
    assert 0.5 < squares[1] / squares[0] < 2


def test_a_defense_that_softens_shows_as_a_slope():
    answers = [{1: 2 * normal(N, C, name=f"answer-{one}")} for one in range(6)]
    read = reading(sent_for(answers[0][1] / 4, LABELS, "probabilities"), LABELS)

    def sent(logits: Tensor, round: int, number: int) -> Reading:
        return reading(sent_for(logits / 4, LABELS, "probabilities"), LABELS)

    found = noises({1: read}, Drawn(np.zeros((6, 3), dtype=bool), answers, len(answers) // 2), sent)[1]
    assert found.slope == pytest.approx(0.25, rel=1e-4)
    assert float(read.cost(answers[0][1], found)) == pytest.approx(0, abs=1e-3)


def test_flipped_labels_show_as_surprise():
    answers = [{1: 4 * normal(200, C, name=f"answer-{one}")} for one in range(4)]
    labels = torch.zeros(200, dtype=torch.int64)
    read = reading(sent_for(answers[0][1], labels, "labels"), labels)

    def sent(logits: Tensor, round: int, number: int) -> Reading:
        told = logits.argmax(dim=1)
        told[:50] = (told[:50] + 1) % C
        return Hard(told)

    found = noises({1: read}, Drawn(np.zeros((4, 3), dtype=bool), answers, len(answers) // 2), sent)[1]
    assert found.surprise == pytest.approx(0.25)
