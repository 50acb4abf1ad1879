"""From the wire to log-probabilities: every form, every format, and what the format clamps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from fedprivacy.attacks.membership.decode import RESOLUTION, decode, decode_sent
from fedprivacy.attacks.membership.logits import phi


def test_logits_and_probabilities_agree():
    z = np.random.default_rng(0).normal(0, 2, (30, 5))
    logp, floor = decode(z, "logits")
    np.testing.assert_allclose(logp, log_softmax(z, axis=1), atol=1e-12)
    again, counts = decode(softmax(z, axis=1), "probabilities")
    np.testing.assert_allclose(again, logp, atol=1e-12)
    assert floor == counts == {"zero": 0}


def test_one_logit_and_one_sigmoid_are_class_one_of_two():
    z = np.array([-3.0, 0.5, 8.0])
    exact, floor = decode(z[:, None], "logits")
    assert floor == {}
    np.testing.assert_allclose(exact, np.log(np.stack([expit(-z), expit(z)], axis=1)), rtol=1e-12)
    rounded, counts = decode(expit(z), "probabilities")
    np.testing.assert_allclose(rounded, exact, rtol=1e-9)
    assert counts == {"zero": 0, "one": 0}


def test_float16_clips_the_tail_of_class_one_only():
    """A sigmoid in half precision: +12 rounds to 1 and is clamped, -12 keeps its place."""
    z = np.array([12.0, -12.0])
    sent = expit(z).astype(np.float16)
    logp, floor = decode(sent[:, None], "probabilities")
    assert floor == {"zero": 0, "one": 1}
    margin = phi(logp, np.array([1, 1]))
    assert margin[0] == pytest.approx(math.log(2**11 - 1))
    assert margin[1] == pytest.approx(-12, abs=0.01)


@pytest.mark.parametrize(("dtype", "cap"), [("float32", 16.64), ("float16", 7.62), ("uint8", 5.54), ("bfloat16", 5.54)])
def test_the_largest_margin_each_format_can_say(dtype: str, cap: float):
    logp, floor = decode(np.array([[1.0]]), "probabilities", dtype=dtype)
    assert phi(logp, np.array([1]))[0] == pytest.approx(cap, abs=0.005)
    assert floor["one"] == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_resolution_is_that_of_the_format(dtype: str):
    smallest, largest = RESOLUTION[dtype]
    one, kind = np.ones(1, dtype=dtype)[0], np.dtype(dtype).type
    assert float(np.nextafter(kind(0), one)) == smallest
    assert float(np.nextafter(one, kind(0))) == largest


def test_zeros_are_raised_to_the_format_and_counted():
    sent = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=np.float32)
    logp, floor = decode(sent, "probabilities")
    assert floor == {"zero": 3}
    assert np.isfinite(logp).all()
    assert logp[0, 1] == pytest.approx(math.log(2.0**-149))
    # Noise may push a probability below 0: it then says no more than 0 does.
    noisy, counts = decode(np.array([[1.1, -0.1]]), "probabilities", dtype="float32")
    assert counts == {"zero": 1} and noisy[0, 1] < -100


def test_rows_that_do_not_sum_to_one_are_renormalised():
    logp, _ = decode(np.array([[0.2, 0.2], [3.0, 1.0]]), "probabilities")
    np.testing.assert_allclose(np.exp(logp), [[0.5, 0.5], [0.75, 0.25]])


def test_masked_logits_get_the_floor_of_the_format():
    logp, floor = decode(np.array([[2.0, -np.inf, 1.0]], dtype=np.float32), "logits")
    assert floor == {"zero": 1} and np.isfinite(logp).all()
    assert logp[0, 0] - logp[0, 2] == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_a_public_temperature_is_undone(form):
    z = np.random.default_rng(1).normal(size=(10, 4))
    sent = z / 3 if form == "logits" else softmax(z / 3, axis=1)
    logp, _ = decode(sent, form, temperature=3.0)
    np.testing.assert_allclose(logp, log_softmax(z, axis=1), atol=1e-12)


def test_hard_labels_say_right_or_wrong_and_no_more():
    logp, floor = decode(np.array([2, 0, 1]), "labels", classes=3)
    assert floor == {"hard-label": 3}
    np.testing.assert_array_equal(logp.argmax(axis=1), [2, 0, 1])
    margin = phi(logp, np.array([2, 1, 1]))
    assert np.isfinite(margin).all() and margin[0] == pytest.approx(margin[2])
    assert margin[0] > 0 > margin[1]


def test_losses_give_the_true_class_exactly_and_a_uniform_rest():
    losses, labels = np.array([[0.1], [2.0], [0.0]], dtype=np.float32), np.array([1, 0, 2])
    logp, floor = decode(losses, "losses", labels=labels, classes=3)
    assert floor == {"zero": 1, "uniform-rest": 3}
    np.testing.assert_allclose(logp[np.arange(2), labels[:2]], [-0.1, -2.0], rtol=1e-7)
    np.testing.assert_allclose(np.exp(logp).sum(axis=1), 1.0)
    np.testing.assert_allclose(logp[1, 1:], math.log((1 - math.exp(-2.0)) / 2), rtol=1e-7)
    assert np.isfinite(phi(logp, labels)).all()


def test_losses_of_two_classes_equal_probabilities():
    p = np.array([0.9, 0.4])
    labels = np.array([1, 0])
    losses = -np.log(np.where(labels == 1, p, 1 - p))
    found, _ = decode(losses, "losses", labels=labels, classes=2)
    np.testing.assert_allclose(found, decode(p, "probabilities")[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "form", "options", "match"),
    [
        (np.array([[np.nan, 1.0]]), "logits", {}, "1 of 2 received logits are NaN"),
        (np.array([[np.inf, 1.0]]), "logits", {}, "infinite"),
        (np.array([[-np.inf]]), "logits", {}, "infinite"),
        (np.full((1, 2), -np.inf), "logits", {}, "throughout"),
        (np.zeros((2, 2, 2)), "logits", {}, "columns"),
        (np.zeros((2, 0)), "logits", {}, "columns"),
        (np.zeros((2, 2)), "scores", {}, "no form"),
        (np.zeros((2, 2)), "logits", {"temperature": 0.0}, "temperature"),
        (np.zeros((2, 2)), "logits", {"dtype": "int4"}, "formats"),
        (np.zeros((2, 2), dtype=np.uint8), "probabilities", {}, "fractions"),
        (np.array([0, 1]), "labels", {}, "number of classes"),
        (np.array([0, 3]), "labels", {"classes": 3}, "0 to 2"),
        (np.array([0.5]), "labels", {"classes": 3}, "whole numbers"),
        (np.array([0.5]), "losses", {"classes": 3}, "labels"),
        (np.array([-0.5]), "losses", {"classes": 3, "labels": np.array([0])}, "non-negative"),
        (np.array([0.5]), "losses", {"classes": 3, "labels": np.array([0]), "temperature": 2.0}, "temperature"),
    ],
)
def test_what_cannot_be_decoded_is_refused(values, form, options, match: str):
    with pytest.raises(ValueError, match=match):
        decode(values, form, **options)


def test_a_row_that_one_bit_leaves_empty_is_uniform_and_the_others_are_labels() -> None:
    values = np.zeros((9, 3), dtype=np.float32)
    values[::2, 1] = 1
    logp, floor = decode_sent(values, "probabilities", np.arange(9), classes=3)
    np.testing.assert_allclose(logp[1::2], -np.log(3))
    assert (logp[::2].argmax(axis=1) == 1).all() and (logp[::2, 1] == 0).all()
    assert floor == {"hard-label": 9}
