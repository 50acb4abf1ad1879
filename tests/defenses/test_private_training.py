"""DP-SGD as a defense: what it claims, what it covers, and that all private training really goes through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedprivacy.config.base import UsageError
from fedprivacy.privacy import Gaussian, NoNoise, PoissonSampledGaussian, PostProcessing, PrivacyEvent
from fedprivacy.privacy.accountant import claim
from fedprivacy.privacy.calibration import dp_sgd_multiplier
from fedprivacy.training.learner import Diverged

NOISY = {"name": "dp-sgd", "epsilon": 6.0}
SMALL = {"batch_size": 8, "local_epochs": 2}


def costs(made: Any) -> list[PrivacyEvent]:
    found = made.defense.events(made.env, made.releases)
    return [event for event in found if not isinstance(event.mechanism, PostProcessing)]


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("mutual", {}),
        ("mutual", {"payload": "labels", "kl_direction": "peer_own"}),
        ("fedavg", {"weighting": "uniform"}),
        ("ds-fl", {}),
        ("local", {}),
    ],
)
def test_whatever_the_model_tells_is_free(
    guarded: Callable[..., Any], tmp_path: Any, protocol: str, options: dict[str, Any]
) -> None:
    made = guarded(protocol, options, NOISY, training=SMALL)
    done = made.run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 5.99 < found.epsilon <= 6.0
    assert (found.unit, found.relation) == ("record", "add-remove")
    assert not any(isinstance(event.mechanism, NoNoise) for event in done.events)


def test_rate_and_steps_rest_on_the_nominal_number(guarded: Callable[..., Any]) -> None:
    made = guarded("mutual", {}, NOISY, training=SMALL, data={"candidates": 64})
    (event, *_) = costs(made)
    assert isinstance(event.mechanism, PoissonSampledGaussian)
    assert (event.mechanism.q, event.mechanism.steps) == (8 / 32, 2 * 4)
    expected = dp_sgd_multiplier(6.0, 1e-5, 8 / 32, 2 * 2 * 4)
    assert made.defense.training.noise_multiplier == pytest.approx(expected, rel=1e-4)
    fewer = replace(made.env, members=tuple(tuple(fold[:3] for fold in folds) for folds in made.env.members))
    assert made.defense.events(fewer, made.releases) == made.defense.events(made.env, made.releases)


def test_a_fresh_fold_each_round_pays_for_one_round(guarded: Callable[..., Any], tmp_path: Any) -> None:
    fresh = guarded("mutual", {}, NOISY, training=SMALL, data={"candidates": 120, "schedule": "fresh"})
    whole = guarded("mutual", {}, NOISY, training=SMALL, data={"candidates": 60, "schedule": "whole"})
    assert {event.fold for event in costs(fresh)} == {0, 1}
    assert {event.fold for event in costs(whole)} == {None}
    assert fresh.defense.training.noise_multiplier < whole.defense.training.noise_multiplier
    found = claim(fresh.run(tmp_path).events, 1e-5)
    assert found.epsilon <= 6.0
    assert found.releases == 1
    assert "fold" in found.worst


def test_a_partition_is_one_release_an_epoch(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("mutual", {}, {**NOISY, "options": {"sampling": "partition"}}, training=SMALL)
    done = made.run(tmp_path)
    own = [e for e in done.events if e.client == 0 and e.release == "training"]
    assert len(own) == 2 * 2
    assert all(isinstance(event.mechanism, Gaussian) for event in own)
    assert 5.99 < claim(done.events, 1e-5).epsilon <= 6.0


def test_sigma_is_the_noise_multiplier_and_zero_is_no_claim(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("mutual", {}, {"name": "dp-sgd", "sigma": 1.5}, training=SMALL)
    assert made.defense.training.noise_multiplier == 1.5
    control = guarded("mutual", {}, {"name": "dp-sgd", "sigma": 0.0}, training=SMALL)
    assert claim(control.run(tmp_path).events, 1e-5).epsilon == math.inf


def test_noise_changes_training_and_nothing_is_sent_otherwise(guarded: Callable[..., Any], tmp_path: Any) -> None:
    digests = []
    for number, sigma in enumerate((0.0, 1.0, 1.0)):
        done = guarded("mutual", {}, {"name": "dp-sgd", "sigma": sigma}, training=SMALL).run(tmp_path / str(number))
        digests.append([m.digest for m in done.transcript.messages])
    assert digests[1] == digests[2]
    assert digests[0] != digests[1]


def test_the_last_layer_alone_can_be_trained(guarded: Callable[..., Any], tmp_path: Any) -> None:
    settings = {**NOISY, "options": {"layers": "head"}}
    made = guarded("fedavg", {"weighting": "uniform"}, settings, training=SMALL)
    done = made.run(tmp_path)
    start = made.protocol.init(made.env).state.parts["server/model"]
    end = done.state.parts["server/model"]
    changed = {name for name in start if not bool((start[name] == end[name]).all())}
    assert changed == {"head.weight", "head.bias"}


def test_all_private_training_goes_through_it(guarded: Callable[..., Any]) -> None:
    """Plain training on the same records is refused, also after joining them with others."""
    made = guarded("mutual", {}, NOISY, training=SMALL)
    env = made.defense.prepared(made.env)
    learner = env.workbench.learner("mlp", env.workbench.initial("mlp", (0, ("x",))))
    with pytest.raises(ValueError, match="private_fit"):
        learner.fit(env.private(0, 1), 1, (0, ("x",)))
    public = env.records(env.public_ids(1))
    with pytest.raises(ValueError, match="private_fit"):
        learner.fit(public.joined(env.private(0, 1)), 1, (0, ("x",)))
    learner.fit(public, 1, (0, ("x",)))


@pytest.mark.parametrize(
    ("protocol", "options", "words"),
    [
        ("central", {}, "private training cannot take its place"),
        ("fedavg", {}, "weighting = 'uniform'"),
        ("fedproto", {}, "computed from private records again"),
        ("layerwise-async", {}, "computed from private records again"),
    ],
)
def test_mismatches_are_told_before_training(
    guarded: Callable[..., Any], protocol: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        guarded(protocol, options, NOISY)


@pytest.mark.parametrize("protocol", ["fml", "fedkd", "fedprox"])
def test_losses_that_join_models_are_refused(guarded: Callable[..., Any], tmp_path: Any, protocol: str) -> None:
    """A teacher trained plainly on the same records would move every other record's gradient."""
    options = {"weighting": "uniform"} if protocol == "fedprox" else {}
    with pytest.raises(UsageError, match=r"cannot take its place|computed from"):
        guarded(protocol, options, NOISY).run(tmp_path)


def test_divergence_names_client_and_round(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("mutual", {}, {"name": "dp-sgd", "sigma": 1.0}, training={**SMALL, "lr": 1e38, "optimizer": "sgd"})
    with pytest.raises(Diverged, match=r"client-\d, round 1, private phase"):
        made.run(tmp_path)


def test_a_model_whose_buffers_move_is_refused_before_training(
    guarded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opacus' validator passes instance normalisation with running statistics."""
    made = guarded("mutual", {}, NOISY, training=SMALL)
    module = made.env.workbench.module(made.env.architecture(0))
    plain = module.forward
    module.register_buffer("seen", torch.zeros(()))

    def remembering(x: torch.Tensor) -> torch.Tensor:
        module.seen += x.sum() + 1
        return plain(x)

    made.defense.check(made.env, made.releases)
    monkeypatch.setattr(module, "forward", remembering)
    with pytest.raises(UsageError, match="changes seen while it trains"):
        made.defense.check(made.env, made.releases)
