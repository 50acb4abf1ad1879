"""The public phase of mutual learning: loss and gradient of one step against numpy, for every variant.

The oracle writes each formula of Gupta 2025 (arXiv 2503.05803) and its derivative down once more, in float64 and
without torch: for logits z at temperature T, ``CE(y, p) + w T^2 mean_j d(p_T, q_T,j)``.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprivacy.config.base import UsageError, build
from fedprivacy.config.protocols import MutualOptions
from fedprivacy.protocols.mutual import mean_of_peers, peer_loss, peer_predictions, released
from fedprivacy.training.losses import log_probabilities
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.transcript import MemoryStore

Array = np.ndarray[Any, np.dtype[Any]]
B, PEERS = 6, 3


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def pair(z: Array) -> Array:
    """One sigmoid logit as the two logits (0, z)."""
    return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z


def soften(q: Array, heat: float) -> Array:
    """Probabilities at another temperature, re-derived from probabilities."""
    return softmax(np.log(q) / heat)


def oracle(z: Array, y: Array, peers: list[Array], options: MutualOptions) -> tuple[float, Array]:
    """Loss and its derivative in the logits [B, 1 or C]; ``peers`` are logits of the same shape."""
    single, rows = z.shape[1] == 1, np.arange(len(z))
    own, heat = pair(z), options.temperature
    p, soft = softmax(own), softmax(pair(z) / heat)
    true = np.zeros_like(p)
    true[rows, y] = 1
    value = float(-np.log(p[rows, y]).mean()) if options.public_labels else 0.0
    slope = (p - true) / len(z) if options.public_labels else np.zeros_like(p)
    for peer in peers:
        q = softmax(pair(peer))
        d, ddz = divergence(soft, q, y, options)
        scale = options.kl_weight * heat**2 / len(peers) / len(z)
        value += scale * float(d.sum())
        slope = slope + scale / heat * ddz
    return value, slope[:, 1:] if single else slope


def divergence(p: Array, q: Array, y: Array, options: MutualOptions) -> tuple[Array, Array]:
    """d(p, q) [B] for each record, and its derivative in the logits of p [B, C]; p is softened already."""
    rows = np.arange(len(p))
    if options.payload == "labels":
        hard = np.zeros_like(p)
        hard[rows, q.argmax(axis=1)] = 1
        return -np.log(p[rows, q.argmax(axis=1)]), p - hard
    if options.payload == "losses":
        right = q[rows, y]
        q = np.stack([1 - right, right], axis=1)
        p_true = p[rows, y]
        spread = -p_true[:, None] * p
        spread[rows, y] += p_true
        two = np.stack([1 - p_true, p_true], axis=1)
        if options.kl_direction == "own_peer":
            d_true = np.log(p_true / q[:, 1]) - np.log((1 - p_true) / q[:, 0])
            return (two * np.log(two / q)).sum(axis=1), d_true[:, None] * spread
        d_true = -q[:, 1] / p_true + q[:, 0] / (1 - p_true)
        return (q * np.log(q / two)).sum(axis=1), d_true[:, None] * spread
    q = soften(q, options.temperature)
    if options.kl == "literal":
        one, other = p[:, 1], q[:, 1]
        d_logit = one * (1 - one)
        if options.kl_direction == "own_peer":
            slope = d_logit * (1 + np.log(one) - np.log(other))
            return one * np.log(one / other), np.stack([-slope, slope], axis=1)
        slope = -other * (1 - one)
        return other * np.log(other / one), np.stack([-slope, slope], axis=1)
    if options.kl_direction == "own_peer":
        ratio = np.log(p / q)
        mean = (p * ratio).sum(axis=1, keepdims=True)
        return mean[:, 0], p * (ratio - mean)
    return (q * np.log(q / p)).sum(axis=1), p - q


def torch_step(z: Array, y: Array, payloads: list[Predictions], options: MutualOptions) -> tuple[float, Array]:
    """Loss and gradient as the public phase computes them, on a batch in another order than the fold."""
    order = torch.from_numpy(np.random.default_rng(5).permutation(len(z)))
    own = torch.from_numpy(z)[order].requires_grad_()
    labels = torch.from_numpy(y)
    loss = peer_loss([peer_predictions(payload, labels) for payload in payloads], options)
    value = loss(own, labels[order], order)
    value.backward()
    assert own.grad is not None
    return float(value.detach()), own.grad[torch.argsort(order)].numpy()


def sent(logits: Array, y: Array, form: Any) -> Predictions:
    return Predictions(released(torch.from_numpy(logits), torch.from_numpy(y), form), form)


def drawn(columns: int, seed: int = 0) -> tuple[Array, Array, list[Array]]:
    draw = np.random.default_rng(seed)
    z, *peers = draw.normal(scale=1.5, size=(1 + PEERS, B, columns))
    return z, draw.integers(0, max(2, columns), B), list(peers)


def valid(**values: Any) -> MutualOptions | None:
    try:
        return build(MutualOptions, values, "test")
    except UsageError:
        return None


GRID: dict[str, tuple[Any, ...]] = {
    "kl": ("literal", "bernoulli", "categorical"),
    "kl_direction": ("own_peer", "peer_own"),
    "payload": ("probabilities", "logits", "losses", "labels"),
    "temperature": (1.0, 2.5),
    "public_labels": (True, False),
    "kl_weight": (0.7,),
}

VARIANTS = [
    options
    for values in itertools.product(*GRID.values())
    if (options := valid(**dict(zip(GRID, values, strict=True)))) is not None
]


def named(options: MutualOptions) -> str:
    return ",".join(str(getattr(options, name)) for name in list(GRID)[:-1])


def on_columns(variants: list[MutualOptions]) -> list[Any]:
    """Each variant on one sigmoid, two and four classes; only ``categorical`` has a meaning on four."""
    pairs = itertools.product([1, 2, 4], variants)
    return [pytest.param(c, o, id=f"{named(o)}-{c}") for c, o in pairs if c < 4 or o.kl == "categorical"]


def test_the_grid_is_whole() -> None:
    assert len(VARIANTS) == 60


@pytest.mark.parametrize(("columns", "options"), on_columns(VARIANTS))
def test_one_step_against_numpy(options: MutualOptions, columns: int) -> None:
    z, y, peers = drawn(columns)
    value, slope = torch_step(z, y, [sent(peer, y, options.payload) for peer in peers], options)
    expected, gradient = oracle(z, y, peers, options)
    assert value == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(slope, gradient, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 2, 4])
@pytest.mark.parametrize("direction", ["own_peer", "peer_own"])
def test_the_oracles_derivative_is_that_of_its_value(columns: int, direction: Any) -> None:
    z, y, peers = drawn(columns, 1)
    for payload, kl in itertools.product(GRID["payload"], ["categorical", "literal"]):
        options = valid(payload=payload, kl=kl, kl_direction=direction, temperature=1.7)
        if options is None or (columns > 2 and kl == "literal"):
            continue
        _, slope = oracle(z, y, peers, options)
        for place in np.ndindex(z.shape):
            step = np.zeros_like(z)
            step[place] = 1e-6
            rise = oracle(z + step, y, peers, options)[0] - oracle(z - step, y, peers, options)[0]
            assert rise / 2e-6 == pytest.approx(slope[place], abs=1e-7)


MEANS = [
    options
    for kl, direction, payload, heat in itertools.product(
        ("literal", "bernoulli", "categorical"), ("own_peer", "peer_own"), ("probabilities", "logits"), (1.0, 3.0)
    )
    if (options := valid(kl=kl, kl_direction=direction, payload=payload, temperature=heat, peer_mode="mean"))
]


@pytest.mark.parametrize(("columns", "options"), on_columns(MEANS))
def test_one_mean_vector_gives_the_gradient_of_all_peers(options: MutualOptions, columns: int) -> None:
    z, y, peers = drawn(columns)
    payloads = [sent(peer, y, options.payload) for peer in peers]
    mean = mean_of_peers(payloads, options)
    assert mean.values.shape == (B, columns)
    _, one = torch_step(z, y, [mean], options)
    _, all_of_them = torch_step(z, y, payloads, options)
    np.testing.assert_allclose(one, all_of_them, atol=1e-6)


numbers = st.floats(-6, 6)


@settings(max_examples=40)
@given(st.lists(numbers, min_size=4, max_size=4), st.sampled_from(["own_peer", "peer_own"]))
def test_equal_predictions_have_no_divergence_and_no_pull(values: list[float], direction: Any) -> None:
    y = np.array([0, 1])
    for columns, kl in ((1, "bernoulli"), (2, "categorical")):
        z = np.array(values).reshape(-1, columns)[:2]
        options = build(MutualOptions, {"kl": kl, "kl_direction": direction, "public_labels": False}, "test")
        value, slope = torch_step(z, y, [sent(z, y, "probabilities")] * 2, options)
        assert value == pytest.approx(0, abs=1e-7)
        np.testing.assert_allclose(slope, 0, atol=1e-7)


def test_the_literal_formula_pulls_toward_class_0_even_at_equality() -> None:
    """Slope +1 in p at p = q: with the labels, (1-p) against (2-p) times the plain gradient's size."""
    z, y = np.array([[0.0], [0.0]]), np.array([1, 0])
    options = build(MutualOptions, {"kl": "literal"}, "test")
    _, slope = torch_step(z, y, [sent(z, y, "probabilities")], options)
    np.testing.assert_allclose(slope[:, 0] * 2, [-0.5 + 0.25, 0.5 + 0.25], atol=1e-7)


def test_losses_of_two_classes_say_what_probabilities_say() -> None:
    z, y, peers = drawn(2)
    results = []
    for payload in ("losses", "probabilities"):
        options = build(MutualOptions, {"payload": payload, "kl": "categorical"}, "test")
        results.append(torch_step(z, y, [sent(peer, y, payload) for peer in peers], options))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6)


def test_certain_peers_and_hopeless_losses_stay_finite() -> None:
    y = np.array([0, 1])
    for payload, peer in (("probabilities", [[1.0], [0.0]]), ("losses", [[0.0], [80.0]])):
        options = build(MutualOptions, {"payload": payload}, "test")
        told = Predictions(torch.tensor(peer), payload)  # type: ignore[arg-type]
        value, slope = torch_step(np.zeros((2, 1)), y, [told], options)
        assert np.isfinite(value) and np.isfinite(slope).all()


def test_no_peers_leave_the_labels_alone() -> None:
    z, y, _ = drawn(4)
    plain = build(MutualOptions, {"kl_weight": 0.0}, "test")
    value, slope = torch_step(z, y, [], build(MutualOptions, {}, "test"))
    expected, gradient = oracle(z, y, [], plain)
    assert value == pytest.approx(expected) and np.allclose(slope, gradient)
    silent = build(MutualOptions, {"public_labels": False}, "test")
    assert not torch_step(z, y, [], silent)[1].any()


def test_targets_are_constants() -> None:
    """Neither the payload nor what is made of it leads back to a peer's parameters."""
    weight = torch.randn(3, 4, requires_grad=True, generator=torch.Generator().manual_seed(1))
    own = torch.zeros(B, 4, requires_grad=True)
    labels = torch.zeros(B, dtype=torch.long)
    logits = torch.ones(B, 3) @ weight
    for form in ("probabilities", "logits", "losses"):
        told = Predictions(released(logits, labels, form), form)  # type: ignore[arg-type]
        received = Channel(1, MemoryStore()).send("client-1", "client-0", told)
        options = build(MutualOptions, {"payload": form}, "test")
        loss = peer_loss([peer_predictions(received, labels)], options)(own, labels, torch.arange(B))
        assert torch.autograd.grad(loss, [own, weight], allow_unused=True)[1] is None


@pytest.mark.parametrize("columns", [1, 3])
def test_what_a_client_sends(columns: int) -> None:
    z, y, _ = drawn(columns)
    logits, labels = torch.from_numpy(z), torch.from_numpy(y)
    p = softmax(pair(z))
    np.testing.assert_allclose(released(logits, labels, "probabilities").numpy(), p[:, 1:] if columns == 1 else p)
    np.testing.assert_array_equal(released(logits, labels, "logits").numpy(), z)
    losses = released(logits, labels, "losses")
    assert losses.shape == (B, 1)
    np.testing.assert_allclose(losses[:, 0].numpy(), -np.log(p[np.arange(B), y]))
    hard = released(logits, labels, "labels")
    assert hard.dtype == torch.uint8 and hard.shape == (B, 1)
    np.testing.assert_array_equal(hard[:, 0].numpy(), p.argmax(axis=1))
    for form in ("probabilities", "logits"):
        told = peer_predictions(Predictions(released(logits, labels, form), form), labels)  # type: ignore[arg-type]
        torch.testing.assert_close(told.log_q, log_probabilities(logits), atol=1e-6, rtol=1e-6)


IMPOSSIBLE = {
    "infinite": {"payload": "labels"},
    "labelled fold": {"payload": "losses", "public_labels": False},
    "peer_mode = 'mean' needs": {"payload": "losses", "peer_mode": "mean"},
    "needs peer_mode = 'all-peers'": {"update_order": "sequential", "peer_mode": "mean"},
    "kl = 'literal' needs": {"payload": "losses", "kl": "literal"},
    "cannot be softened": {"payload": "losses", "temperature": 2.0},
}


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_combinations_without_meaning_are_refused(reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        build(MutualOptions, IMPOSSIBLE[reason], "test")
