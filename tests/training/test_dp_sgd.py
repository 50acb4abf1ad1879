"""Private training: sampling, noise, empty batches, and what it equals when nothing is clipped and no noise added."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.dp_sgd import DpSgd, noised, row_losses
from fedprivacy.training.learner import Diverged, Learner, Records, Seed, Workbench
from fedprivacy.training.losses import cross_entropy
from fedprivacy.training.running_state import moving

SEED: Seed = (0, ("client", 0, "round", 1, "private"))


def made(name: str, seed: Seed) -> nn.Module:
    if name == "scaled":
        with seeds.torch_scope(seed[0], *seed[1]):
            return nn.Sequential(Scaled(), nn.Linear(4, 3))
    if name == "weight-normed":
        with seeds.torch_scope(seed[0], *seed[1]):
            return nn.Sequential(weight_norm(nn.Linear(4, 5)), nn.Tanh(), weight_norm(nn.Linear(5, 3)))
    return build(name, (4,), 3, "softmax", seed[0], *seed[1])


class Scaled(nn.Module):
    """A parameter that the recording does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def learner(optimizer: str = "sgd", model: str = "mlp", lr: float = 1.0) -> Learner:
    bench = Workbench(made, TrainingConfig(optimizer=optimizer, lr=lr))  # type: ignore[arg-type]
    return bench.learner(model, bench.initial(model, (0, ("start",))))


def records(number: int = 40) -> Records:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, number)
    return Records((np.eye(3, 4)[y] * 3 + draw.normal(size=(number, 4))).astype(np.float32), y)


def weights(held: Learner) -> Tensor:
    return torch.cat([t.flatten() for t in held.weights().values()])


@pytest.mark.parametrize("model", ["mlp", "scaled", "weight-normed"])
def test_one_full_batch_without_noise_or_clipping_is_a_plain_step(model: str) -> None:
    """Computed weights included: every parameter moves."""
    private, plain = learner(model=model), learner(model=model)
    start = private.weights()
    DpSgd(0.0, 1e6, 40)(private, records(), 1, SEED)
    plain.fit(records(), 1, SEED, batch_size=40)
    assert not any(torch.equal(start[name], moved) for name, moved in private.weights().items())
    assert torch.allclose(weights(private), weights(plain), atol=1e-6)


def test_empty_records_still_make_noisy_steps() -> None:
    """The released values of pure noise have the calibrated standard deviation, step by step."""
    held = learner()
    start = weights(held)
    fit = DpSgd(noise_multiplier=3.0, max_grad_norm=0.5, batch_size=10)
    report = fit(held, records(0), 2, SEED, nominal=50)
    moved = weights(held) - start
    steps = 2 * 5
    expected = 3.0 * 0.5 / 10 * math.sqrt(steps)
    assert len(moved) > 2000
    assert float(moved.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * len(moved)))
    assert abs(float(moved.mean())) < 5 * expected / math.sqrt(len(moved))
    assert [epoch.loss for epoch in report] == [0.0, 0.0]


def test_noise_has_the_stated_deviation_and_is_added_to_the_sum() -> None:
    total = torch.full((200_000,), 7.0)
    found = noised(total, 2.5, seeds.generator(0, "noise"))
    assert float(found.std()) == pytest.approx(2.5, rel=1e-2)
    assert float(found.mean()) == pytest.approx(7.0, abs=0.03)


def test_poisson_batches_are_binomial() -> None:
    fit = DpSgd(1.0, 1.0, 20)
    draw = seeds.generator(0, "draw")
    sizes = np.array([len(rows) for _ in range(300) for rows in fit._batches(100, 100, draw)])
    assert len(sizes) == 1500
    assert sizes.mean() == pytest.approx(20, abs=4 * math.sqrt(16 / 1500))
    assert sizes.var() == pytest.approx(16, rel=0.2)


def test_poisson_coins_of_a_record_do_not_depend_on_the_number_of_records() -> None:
    """Rate, steps and divisor come from the nominal number alone."""
    fit = DpSgd(1.0, 1.0, 20)
    for number in (1, 79, 80, 81, 500):
        assert len(list(fit._batches(number, 80, seeds.generator(0, "draw")))) == 4
    assert fit.rate(80) == 0.25
    assert DpSgd(1.0, 1.0, 200).rate(80) == 1.0
    assert DpSgd(1.0, 1.0, 200).steps(80) == 1


def test_partition_deals_every_record_once_an_epoch() -> None:
    fit = DpSgd(1.0, 1.0, 8, sampling="partition")
    draw = seeds.generator(0, "draw")
    first, second = (list(fit._batches(40, 40, draw)) for _ in range(2))
    for batches in (first, second):
        assert len(batches) == 5
        assert sorted(torch.cat(batches).tolist()) == list(range(40))
    assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_empty_batch_among_others_is_harmless() -> None:
    held = learner(lr=0.1)
    DpSgd(0.5, 1.0, 1)(held, records(5), 3, SEED, nominal=20)
    assert torch.isfinite(weights(held)).all()


def test_same_seed_same_weights_and_other_seed_other_weights() -> None:
    found = []
    for seed in (SEED, SEED, (1, SEED[1])):
        held = learner("adam", lr=1e-2)
        DpSgd(1.0, 1.0, 16)(held, records(), 2, seed)
        found.append(weights(held))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_learns_when_there_is_little_noise() -> None:
    held = learner("adam", lr=1e-2)
    report = DpSgd(0.3, 1.0, 20)(held, records(200), 8, SEED)
    assert report[-1].accuracy > 0.8
    assert report[-1].loss < report[0].loss


def test_head_only_leaves_all_other_layers_as_they_were() -> None:
    held = learner("adam", lr=1e-2)
    before = held.weights()
    DpSgd(1.0, 1.0, 20, layers="head")(held, records(), 2, SEED)
    after = held.weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
    assert all(parameter.requires_grad for parameter in held.module.parameters())


@pytest.mark.parametrize("engine", ["func", "opacus", "ghost"])
@pytest.mark.parametrize("model", ["mlp", "scaled"])
def test_every_engine_gives_the_same_weights(model: str, engine: str) -> None:
    """For the second model the recording falls back by itself."""
    found = []
    for name in ("auto", engine):
        held = learner(model=model, lr=0.1)
        DpSgd(0.7, 0.5, 16, engine=name)(held, records(), 2, SEED)  # type: ignore[arg-type]
        found.append(weights(held))
        assert not any(hasattr(p, "grad_sample") for p in held.module.parameters())
    assert torch.allclose(*found, atol=1e-5)


def test_a_public_phase_may_follow_on_the_same_module() -> None:
    """Plain training after private training: no hooks, no leftovers, nothing frozen."""
    held, fresh = learner("adam", lr=1e-2), learner("adam", lr=1e-2)
    DpSgd(1.0, 1.0, 16, layers="head", engine="opacus")(held, records(), 1, SEED)
    fresh.module.load_state_dict(held.weights())
    held.renew_optimizer()
    for one in (held, fresh):
        one.fit(records(24), 2, (3, ("public",)))
    assert torch.equal(weights(held), weights(fresh))


def test_any_other_loss_is_taken_row_by_row() -> None:
    """A loss that couples rows cannot make one record move another's gradient."""
    logits = torch.randn(4, 3, generator=seeds.generator(0, "logits"))
    labels, rows = torch.tensor([0, 1, 2, 0]), torch.arange(4)

    def coupled(z: Tensor, y: Tensor, _: Tensor) -> Tensor:
        each = cross_entropy(z, y, reduction="none")
        return each.mean() / (1 + each.detach().sum())

    found = row_losses(coupled, logits, labels, rows)
    each = cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(found, each / (1 + each))


def test_plain_training_of_guarded_records_is_refused() -> None:
    with pytest.raises(ValueError, match="private_fit"):
        learner().fit(records().as_guarded(), 1, SEED)
    with pytest.raises(ValueError, match="private_fit"):
        learner().fit(records().joined(records().as_guarded()), 1, SEED)
    assert DpSgd(1.0, 1.0, 16)(learner(), records().as_guarded(), 1, SEED)


def test_divergence_is_told() -> None:
    bad = Records(np.full((8, 4), np.inf, dtype=np.float32), np.zeros(8, dtype=np.int64))
    with pytest.raises(Diverged):
        DpSgd(1.0, 1.0, 8)(learner(), bad, 1, SEED)


class Remembering(nn.Module):
    """Instance normalisation with running statistics: no record sees another, and yet they collect all."""

    def __init__(self, running: bool) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(2, affine=True, track_running_stats=running)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(x.view(-1, 2, 2)).flatten(1))
        return y


@pytest.mark.parametrize("running", [True, False])
def test_a_buffer_that_moves_is_refused_and_one_that_rests_is_not(running: bool) -> None:
    bench = Workbench(lambda name, seed: Remembering(running), TrainingConfig(optimizer="sgd", lr=0.1))
    held = bench.learner("net", bench.initial("net", (0, ("start",))))
    if not running:
        assert DpSgd(1.0, 1.0, 8)(held, records(), 1, SEED)
        return
    with pytest.raises(UsageError, match=r"norm\.running_mean"):
        DpSgd(1.0, 1.0, 8)(held, records(), 1, SEED)
    assert moving(held.module, torch.zeros(2, 4)) == ["norm.running_mean", "norm.running_var"]


def test_looking_for_what_moves_leaves_the_module_as_it_was() -> None:
    module = Remembering(True).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert moving(module, torch.ones(2, 4))
    assert not module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
