"""Every engine against the plainest way to a record's gradient; the figures stand at the end of the test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.training.clipping import Batch, Losses, NotCovered
from fedprivacy.training.engines import Engine, Engines, by_ghost_clipping, by_opacus, by_recording
from fedprivacy.training.one_by_one import by_function, one_by_one

ENGINES: dict[str, Engine] = {
    "recording": by_recording,
    "torch.func": by_function,
    "one by one": one_by_one,
    "opacus hooks": by_opacus,
    "opacus ghost": by_ghost_clipping,
    "auto": lambda batch, bound: Engines("auto").clipped(batch, bound),
}
_TRIED = "_tried"
"""Mark of a module that was counted."""
_MODELS: Counter[str] = Counter()
_FIGURES: dict[str, Counter[str]] = {name: Counter() for name in ENGINES}

Compare = Callable[[nn.Module, Tensor, Losses], dict[str, str]]


def plain_loop(module: nn.Module, x: Tensor, losses: Losses, bound: float) -> tuple[list[Tensor], Tensor]:
    """Clipped sums and norms by one backward pass a record; shares nothing with any engine."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    total, norms = [torch.zeros_like(p) for p in parameters], []
    for i in range(len(x)):
        loss = losses(module(x[i : i + 1]), torch.tensor([i])).sum()
        for p in parameters:
            p.grad = None
        if loss.requires_grad:
            loss.backward()
        own = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
        norm = sum(float((g * g).sum()) for g in own) ** 0.5
        for t, g in zip(total, own, strict=True):
            t += g if norm <= bound else g * (bound / norm)
        norms.append(norm)
    for p in parameters:
        p.grad = None
    return total, torch.tensor(norms, dtype=torch.float64)


def outcome(engine: Engine, module: nn.Module, x: Tensor, losses: Losses) -> str:
    """``covered`` or ``refused``; fails the test on any difference, and on any other error."""
    _, norms = plain_loop(module, x, losses, 1.0)
    bound = float(norms.median()) if len(norms) else 1.0
    bound = bound or 1.0
    wanted, norms = plain_loop(module, x, losses, bound)
    parameters = [p for p in module.parameters() if p.requires_grad]
    try:
        found = engine(Batch(module, parameters, x, losses), bound)
    except NotCovered:
        return "refused"
    torch.testing.assert_close(found.norms, norms, rtol=1e-6, atol=1e-9)
    for p, expected in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(found.total[p], expected, rtol=1e-6, atol=1e-9 * max(1.0, bound))
    return "covered"


@pytest.fixture(scope="session")
def compare() -> Compare:
    """Runs every engine on a model and a batch, and says of each whether it covered or refused."""

    def run(module: nn.Module, x: Tensor, losses: Losses) -> dict[str, str]:
        found = {}
        _MODELS["tried"] += not hasattr(module, _TRIED)
        setattr(module, _TRIED, True)
        for name, engine in ENGINES.items():
            if not len(x) and name != "auto":
                continue
            try:
                found[name] = outcome(engine, module, x, losses)
            except AssertionError as error:
                _FIGURES[name]["differing"] += 1
                raise AssertionError(f"{name} differs from the plain loop: {error}") from error
            _FIGURES[name][found[name]] += 1
        assert found["auto"] == "covered"
        return found

    return run


@pytest.fixture(scope="session")
def judged() -> Callable[[Engine, nn.Module, Tensor, Losses], str]:
    """What the comparison says of one engine."""
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One row an engine: batches tried, covered, refused, differing."""
    if not any(_FIGURES.values()):
        return
    terminalreporter.write_line(
        f"gradients of {_MODELS['tried']} models held against a plain loop in float64, batches by engine:"
    )
    for name, counts in _FIGURES.items():
        tried = sum(counts.values())
        row = "  ".join(f"{kind} {counts[kind]:5d}" for kind in ("covered", "refused", "differing"))
        terminalreporter.write_line(f"  {name:13} tried {tried:5d}  {row}")
