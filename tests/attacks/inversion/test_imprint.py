from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.imprint import (
    ImprintedModel,
    alone_in_bin,
    contents,
    lowest_projection,
    thresholds_from,
)
from fedprivacy.attacks.inversion.peeling import peeled

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
SIZE = 16


def _model(thresholds: Tensor, seed: int = 0) -> ImprintedModel:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        head = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 5))
    return ImprintedModel(torch.full((SIZE,), 1 / SIZE), thresholds, head).double()


def _records(count: int, rng: np.random.Generator) -> Tensor:
    """Records [count, d] whose mean is uniform in (0, 1): equally likely bins at evenly spaced thresholds."""
    noise = rng.standard_normal((count, SIZE)) * 0.02
    return torch.from_numpy(noise - noise.mean(1, keepdims=True) + rng.random((count, 1)))


def _read(model: ImprintedModel, gradient: dict[str, Tensor]) -> Tensor:
    """All records that the bins give."""
    layer, moved = model.imprint, (gradient["imprint.weight"], gradient["imprint.bias"])
    return torch.cat(peeled(contents(layer.weight, layer.bias, moved[0], moved[1], model.blocks)))


def _recovered(model: ImprintedModel, x: Tensor, gradient: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """For each record: whether some row of the read-out equals it, and whether it is alone in its bin."""
    found = _read(model, gradient)
    errors = (x[:, None] - found[None]).square().mean(2)
    passed = (model.imprint(x) > 0).sum(1)
    return errors.min(1).values < 1e-6, (passed[:, None] == passed[None]).sum(1) == 1


def test_a_record_alone_in_its_bin_is_read_exactly(gradient_of: Gradient) -> None:
    rng, thresholds = np.random.default_rng(0), torch.arange(64) / 64.0
    thresholds[0] = -1.0
    model = _model(thresholds)
    for _ in range(10):
        x = _records(16, rng)
        got, alone = _recovered(model, x, gradient_of(model, x, torch.from_numpy(rng.integers(0, 5, 16))))
        assert got[alone].all()


@pytest.mark.parametrize(("records", "bins"), [(8, 64), (64, 128)])
def test_share_recovered_is_that_of_the_birthday_formula(records: int, bins: int, gradient_of: Gradient) -> None:
    rng, batches = np.random.default_rng(1), 30
    thresholds = torch.arange(bins) / bins
    thresholds[0] = -1.0
    model = _model(thresholds)
    shares = []
    for _ in range(batches):
        x = _records(records, rng)
        got, _ = _recovered(model, x, gradient_of(model, x, torch.from_numpy(rng.integers(0, 5, records))))
        shares.append(float(got.double().mean()))
    spread = {(8, 64): 0.145, (64, 128): 0.071}[records, bins]
    assert abs(np.mean(shares) - alone_in_bin(bins, records)) < 4 * spread / batches**0.5


def test_the_formula_s_anchors() -> None:
    found = [alone_in_bin(*pair) for pair in ((64, 8), (128, 64), (512, 64), (1024, 64), (1024, 256))]
    assert found == pytest.approx([0.8956, 0.6101, 0.8841, 0.9403, 0.7795], abs=5e-5)


def test_copies_of_one_record_show_it_once(gradient_of: Gradient) -> None:
    thresholds = torch.arange(32) / 32.0
    thresholds[0] = -1.0
    model, x = _model(thresholds), _records(1, np.random.default_rng(2)).repeat(6, 1)
    gradient = gradient_of(model, x, torch.zeros(6, dtype=torch.long))
    found = _read(model, gradient)
    assert len(found) == 1
    torch.testing.assert_close(found[0], x[0])


def test_records_of_one_bin_come_out_averaged(gradient_of: Gradient) -> None:
    model = _model(torch.tensor([-1.0, 2.0]))
    x = _records(3, np.random.default_rng(3))
    gradient = gradient_of(model, x, torch.zeros(3, dtype=torch.long))
    found = _read(model, gradient)
    assert len(found) == 1
    shares = torch.linalg.lstsq(x.T, found[0]).solution
    torch.testing.assert_close(shares @ x, found[0])
    assert float(shares.sum()) == pytest.approx(1) and (shares > 0).all()


def test_thresholds_are_quantiles_of_public_records() -> None:
    public = torch.from_numpy(np.random.default_rng(4).random((1000, SIZE)))
    direction = torch.full((SIZE,), 1 / SIZE)
    found = thresholds_from(public, direction, 4, lowest_projection(direction))
    assert found.tolist() == pytest.approx([-1e-3, *np.quantile(public.mean(1).numpy(), [0.25, 0.5, 0.75])])
    with pytest.raises(ValueError, match="below the first quantile"):
        thresholds_from(public, direction, 4, 0.6)


def test_smooth_thresholds_ascend_and_share_the_mass_more_evenly() -> None:
    """512 bins from 1,000 public records: the bins of fresh records are nearer to equal than with raw quantiles."""
    rng, direction = np.random.default_rng(6), torch.ones(1)
    public, fresh = torch.from_numpy(rng.standard_normal((1000, 1))), rng.standard_normal(200_000)
    crowding = []
    for knots in (64, 512):
        found = thresholds_from(public, direction, 512, -1e3, knots).numpy()
        assert (np.diff(found) > 0).all()
        mass = np.bincount(np.searchsorted(found, fresh) - 1, minlength=512) / len(fresh)
        crowding.append(512 * np.square(mass).sum())
    assert crowding[0] < 1.25 < 1.4 < crowding[1]


def test_lowest_projection_is_below_every_input_of_the_box() -> None:
    direction = torch.tensor([0.5, -2.0, 0.0, 1.0])
    assert -2.01 < lowest_projection(direction) < -2.0
    assert lowest_projection(direction, -1, 1) < -3.5


def test_shape_of_what_goes_on(gradient_of: Gradient) -> None:
    """The rest of the model sees equal pixels, whatever the record: nothing but the sum passes."""
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    model = ImprintedModel(torch.ones(SIZE), torch.tensor([-1.0, 0.0, 1.0]), inner, (3, 2, 2)).double()
    seen: list[Tensor] = []
    inner.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(_records(2, np.random.default_rng(5)))
    assert seen[0].shape == (2, 3, 2, 2)
    torch.testing.assert_close(seen[0], seen[0][:, :1, :1, :1].expand(2, 3, 2, 2))


def test_small_rows_are_the_same_model_with_a_larger_change() -> None:
    """The gradient of the rows grows by 1/shrink while the rows shrink, so that float32 rounds less of it away."""
    draw = torch.Generator().manual_seed(3)
    direction, thresholds = torch.full((16,), 1 / 16), torch.linspace(-0.01, 0.9, 8)
    x = torch.rand(4, 16, generator=draw)
    plain, small = (
        ImprintedModel(direction, thresholds, nn.Linear(1, 3), gain=10, shrink=shrink) for shrink in (1.0, 0.01)
    )
    small.inner.load_state_dict(plain.inner.state_dict())
    torch.testing.assert_close(plain(x), small(x), rtol=1e-4, atol=1e-5)
    slopes = []
    for model in (plain, small):
        (slope,) = torch.autograd.grad(model(x).square().sum(), [model.imprint.bias])
        slopes.append(slope)
    torch.testing.assert_close(slopes[1] * 0.01, slopes[0], rtol=1e-3, atol=1e-6)
